import pytest

from tbgen.export.errors import UserError
from tbgen.export.tensorrt.profiles import (
    Profile,
    buckets_of,
    check_profiles,
    default_profiles,
    profile_for,
    profile_from_text,
    profiles_of,
)
from tbgen.export.tensorrt.versions import TRAITS, traits_of


@pytest.mark.parametrize(
    ("text", "profile"),
    [
        ("1x300", Profile((1, 300), (1, 300), (1, 300))),
        ("1-32x128", Profile((1, 128), (32, 128), (32, 128))),
        ("1-32x8-128", Profile((1, 8), (32, 128), (32, 128))),
    ],
)
def test_a_shape_is_read_and_written_the_same(text: str, profile: Profile) -> None:
    assert profile_from_text(text) == profile
    assert str(profile) == text


@pytest.mark.parametrize("text", ["", "300", "1x", "x300", "1*300", "32-1x128", "0x128", "1x1", "1x300x2", "-1x300"])
def test_what_is_no_shape_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UserError, match="rows"):
        profile_from_text(text)


def test_tensorrt_8_5_gets_fixed_shapes_and_later_versions_a_range_for_each_bucket() -> None:
    assert [str(profile) for profile in default_profiles(300, ranges=False)] == ["1x300", "1x128", "32x128"]
    assert [str(profile) for profile in default_profiles(100, ranges=False)] == ["1x100", "32x100"]
    assert [str(profile) for profile in default_profiles(300, ranges=True)] == [
        "1-32x2-32",
        "1-32x33-64",
        "1-32x65-128",
        "1-32x129-300",
    ]


def test_texts_are_padded_to_the_lengths_that_the_profiles_take() -> None:
    assert buckets_of([profile_from_text("1x300"), profile_from_text("32x128")]) == [128, 300]
    assert buckets_of([profile_from_text("1-32x2-20")]) == [8, 16, 20]


def test_a_shape_is_run_with_the_profile_tuned_nearest_to_it() -> None:
    profiles = list(enumerate(profile_from_text(text) for text in ("1x300", "1x128", "32x128", "1-32x8-128")))
    assert profile_for(profiles, 1, 300) == 0
    assert profile_for(profiles, 1, 128) == 1
    assert profile_for(profiles, 32, 128) == 2
    assert profile_for(profiles, 5, 64) == 3
    assert profile_for(profiles, 5, 300) is None


def test_a_shape_longer_than_the_model_reads_is_refused() -> None:
    with pytest.raises(UserError, match=r"shape 1x304 is too long: the model reads 300 tokens"):
        check_profiles([profile_from_text("1x304")], 300)


def test_the_record_of_an_onnx_file_has_no_profiles() -> None:
    assert profiles_of({}) == []
    record = {"tensorrt": {"profiles": [{"min": [1, 8], "opt": [32, 128], "max": [32, 128]}]}}
    assert [str(profile) for profile in profiles_of(record)] == ["1-32x8-128"]


@pytest.mark.parametrize(
    ("version", "row"), [("8.5.3.1", "8.5"), ("8.6.1", "8.6"), ("10.16.1.11", "10"), ("11.4.0.106", "11")]
)
def test_a_version_has_its_row(version: str, row: str) -> None:
    assert traits_of(version) is TRAITS[row]


@pytest.mark.parametrize("version", ["8.4.3.1", "7.2", "1", "12.0", "100.1", "8.50"])
def test_an_unknown_version_is_refused_with_the_rows(version: str) -> None:
    with pytest.raises(UserError, match=r"not known to this tbgen; it builds plans with 8\.5, 8\.6, 10, 11"):
        traits_of(version)


def test_only_tensorrt_8_needs_the_fp16_flag_and_the_explicit_batch() -> None:
    assert {row for row, traits in TRAITS.items() if not traits.typed} == {"8.5", "8.6"}
    assert {row for row, traits in TRAITS.items() if "EXPLICIT_BATCH" in traits.network_flags} == {"8.5", "8.6"}
    assert {row for row, traits in TRAITS.items() if traits.monitor} == {"10", "11"}
