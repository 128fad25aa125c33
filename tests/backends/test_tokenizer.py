from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer as TokenizerFile
from tokenizers import normalizers

from tbgen.backends.text_tokenizer import PARALLEL_FROM, characters
from tbgen.backends.text_tokenizer import Tokenizer as TextTokenizer
from tbgen.backends.tokenizer import PIECES, Tokenizer
from tests.texts import HARD_TEXTS


def column(*texts: str) -> np.ndarray:
    return np.array([[text] for text in texts], dtype=object)


def test_a_batch_is_padded_to_the_bucket_of_its_longest_text(word_tokenizer: Path) -> None:
    step = Tokenizer(word_tokenizer, max_length=10, buckets=[4, 8, 10])
    answer = step(input_text=column("a b c", "d"))
    assert answer["input_ids"].tolist() == [[2, 4, 5, 6, 3, 0, 0, 0], [2, 7, 3, 0, 0, 0, 0, 0]]
    assert answer["attention_mask"].tolist() == [[1, 1, 1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0, 0]]
    assert answer["token_type_ids"].tolist() == [[0] * 8, [0] * 8]
    assert {array.dtype for array in answer.values()} == {np.dtype(np.int64)}


@pytest.mark.parametrize("names", [["input_text"], ["text", "pair"]])
def test_short_and_long_batches_are_encoded_alike(word_tokenizer: Path, names: list[str]) -> None:
    step = Tokenizer(word_tokenizer, max_length=64, texts=names)
    texts = ["a b c", "", "d " * 30, "e", "no such word"] * 30
    assert sum(map(len, texts)) > PARALLEL_FROM > len("".join(texts[:5])) * len(names)
    together = step(**{name: column(*texts) for name in names})
    apart = [step(**{name: column(*texts[row : row + 5]) for name in names}) for row in range(0, len(texts), 5)]
    for name, array in together.items():
        np.testing.assert_array_equal(array, np.concatenate([answer[name] for answer in apart]))


@pytest.mark.parametrize("names", [["input_text"], ["text", "pair"]])
def test_a_text_alone_is_encoded_as_beside_others(word_tokenizer: Path, names: list[str]) -> None:
    extras = ["offsets", "special_tokens_mask", "tokenized_text"]
    step = Tokenizer(word_tokenizer, max_length=64, texts=names, extras=extras, pad_id=7)
    texts = ["a b c", "", "d " * 30, "no such word", "a b c d e f"]
    together = step(**{name: column(*texts) for name in names})
    for row, text in enumerate(texts):
        own = {name: array[row : row + 1] for name, array in together.items()}
        alone = step(**{name: column(text) for name in names})
        assert alone.keys() == own.keys()
        for name, array in (own | step.trim(own)).items():
            assert alone[name].dtype == array.dtype
            np.testing.assert_array_equal(alone[name], array)


def test_lengths_are_multiples_and_never_pass_the_models_positions(word_tokenizer: Path) -> None:
    step = Tokenizer(word_tokenizer, max_length=300, buckets=[*range(8, 300, 8), 300])
    assert step(input_text=column("a " * 295))["input_ids"].shape == (1, 300)
    assert step(input_text=column("a " * 5))["input_ids"].shape == (1, 8)
    assert step(input_text=column("a " * 7))["input_ids"].shape == (1, 16)


def test_a_long_text_is_truncated_and_still_ends_with_its_last_special_token(word_tokenizer: Path) -> None:
    ids = Tokenizer(word_tokenizer, max_length=6, buckets=[6])(input_text=column("a b c d e f g"))["input_ids"]
    assert ids.tolist() == [[2, 4, 5, 6, 7, 3]]


def test_a_long_text_can_be_rejected(word_tokenizer: Path) -> None:
    step = Tokenizer(word_tokenizer, max_length=6, truncation="do_not_truncate")
    with pytest.raises(ValueError, match="input_text of item 0: 9 tokens; the model takes at most 6"):
        step(input_text=column("a b c d e f g"))


def test_an_engine_names_its_tensors_and_type(word_tokenizer: Path) -> None:
    step = Tokenizer(
        word_tokenizer,
        max_length=16,
        buckets=[8, 16],
        tensors=["input_ids", "attention_mask"],
        data_type="TYPE_INT32",
        pad_id=9,
    )
    answer = step(input_text=column("a"))
    assert step.outputs == {"input_ids": ("TYPE_INT32", [-1]), "attention_mask": ("TYPE_INT32", [-1])}
    assert answer["input_ids"].tolist() == [[2, 4, 3, 9, 9, 9, 9, 9]]
    assert answer["input_ids"].dtype == np.int32


def test_one_fixed_length_is_said_in_the_dims(word_tokenizer: Path) -> None:
    step = Tokenizer(word_tokenizer, max_length=12, buckets=[12])
    assert step.outputs["input_ids"] == ("TYPE_INT64", [12])
    assert step(input_text=column("a"))["input_ids"].shape == (1, 12)


def test_each_request_is_cut_to_its_own_bucket(word_tokenizer: Path) -> None:
    step = Tokenizer(word_tokenizer, max_length=16, buckets=[4, 8, 16])
    joined = step(input_text=column("a b c d e f g", "a"))
    second = step.trim({name: array[1:] for name, array in joined.items()})
    assert second["input_ids"].tolist() == [[2, 4, 3, 0]]


@pytest.mark.parametrize(("rows", "width"), [(1, 16), (2, 4), (3, 4)])
def test_a_request_is_padded_to_a_shape_that_takes_its_rows(word_tokenizer: Path, rows: int, width: int) -> None:
    step = Tokenizer(word_tokenizer, max_length=16, buckets=[4, 16], shapes=[[1, 1, 16, 16], [2, 2, 4, 4]])
    joined = step(input_text=column("a", "a", "a"))
    assert step.trim({name: array[:rows] for name, array in joined.items()})["input_ids"].shape == (rows, width)


def test_requests_keep_a_common_length_when_the_engine_merges_them(word_tokenizer: Path) -> None:
    step = Tokenizer(word_tokenizer, max_length=16, buckets=[4, 8, 16], common_length=True)
    joined = step(input_text=column("a b c d e f g", "a"))
    assert step.trim({name: array[1:] for name, array in joined.items()})["input_ids"].shape == (1, 16)


@pytest.mark.parametrize("text", HARD_TEXTS)
def test_every_text_gets_ids_within_the_limit(word_tokenizer: Path, text: str) -> None:
    ids = Tokenizer(word_tokenizer, max_length=300)(input_text=column(text))["input_ids"]
    assert ids[0, 0] == 2
    assert ids.shape[1] <= 300


def test_without_buckets_rows_are_as_long_as_their_longest(word_tokenizer: Path) -> None:
    step = Tokenizer(word_tokenizer, max_length=6, buckets=[])
    widths = [step(input_text=column(text))["input_ids"].shape[1] for text in ("a", "a b", "a b c d e f g")]
    assert widths == [3, 4, 6]


@pytest.mark.parametrize("count", [1, 3, 60])
def test_the_plain_tokenizer_gives_what_the_one_with_all_settings_gives(word_tokenizer: Path, count: int) -> None:
    texts = column(*[*HARD_TEXTS, "a b c", "d " * 90][:count] * (1 + count // 20))
    settings = {"max_length": 64, "buckets": [], "tensors": ["input_ids", "attention_mask"], "data_type": "TYPE_INT32"}
    plain, full = (kind(word_tokenizer, **settings) for kind in (TextTokenizer, Tokenizer))  # type: ignore[arg-type]
    assert (plain.inputs, plain.outputs, plain.parameters) == (full.inputs, full.outputs, full.parameters)
    for name, array in full(input_text=texts).items():
        np.testing.assert_array_equal(plain(input_text=texts)[name], array)
    with pytest.raises(ValueError, match="input_text of item 0: 92 tokens; the model takes at most 64"):
        plain(input_text=column("d " * 90), truncation="do_not_truncate")


def test_a_query_read_anew_with_each_of_its_texts_is_not_read_beyond_the_memory(word_tokenizer: Path) -> None:
    step = Tokenizer(word_tokenizer, max_length=64, texts=["input_text", "text_pair"])
    query = np.array([["a" * 100_000]], dtype=object).repeat(160, axis=0)
    with pytest.raises(ValueError, match="all texts counted as 16000160 characters; at most 16000000 are read"):
        step(input_text=query, text_pair=column(*"b" * 160))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("most", [10, 11])
def test_a_pair_of_two_long_texts_is_cut_as_the_library_cuts_it(word_tokenizer: Path, most: int, side: str) -> None:
    file = TokenizerFile.from_file(str(word_tokenizer / "tokenizer.json"))
    file.enable_truncation(most, direction=side)
    file.save(str(word_tokenizer / "tokenizer.json"))
    step = Tokenizer(word_tokenizer, max_length=most, texts=["text", "pair"])
    first, second = "a b c d e f " * 20, "c a d b f e " * 20
    pairs = [
        (first, second),
        (second * 2, first),
        (first, second * 2),
        (first + "a", second),
        (first, "b"),
        ("", first),
    ]
    assert all(len(a) * len(b) > PIECES * most**2 for a, b in pairs[:4])
    rows = step(text=column(*(a for a, _ in pairs)), pair=column(*(b for _, b in pairs)))
    for pair, ids, mask in zip(pairs, rows["input_ids"], rows["attention_mask"], strict=True):
        assert ids[mask == 1].tolist() == file.encode(*pair).ids
    assert step.counts == {"texts": 6, "truncated": 6}


def test_a_pair_of_two_endless_texts_is_answered(word_tokenizer: Path) -> None:
    """The library would make 40,000 times 40,000 encodings of what is cut off."""
    step = Tokenizer(word_tokenizer, max_length=10, texts=["text", "pair"])
    rows = step(text=column("a b c d e f " * 30_000), pair=column("f e d c b a " * 30_000))
    assert rows["input_ids"].tolist() == step(text=column("a b c d e"), pair=column("f e d c b"))["input_ids"].tolist()


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(
    ("how", "cut", "other"),
    [
        (how, cut, other)
        for how in ("only_first", "only_second")
        for cut in ("a b c d e f " * 300, "a" * 900, "a b")
        for other in ("", "b", "d e f g h i ", "d e f g h i j k l m n o p")
    ],
)
def test_one_long_text_of_a_pair_is_cut_as_the_library_cuts_it(
    word_tokenizer: Path, tmp_path: Path, side: str, how: str, cut: str, other: str
) -> None:
    """The library makes an encoding of each piece that is cut off, as short as the room that the other text leaves."""
    file = TokenizerFile.from_file(str(word_tokenizer / "tokenizer.json"))
    file.enable_truncation(10, strategy=how, direction=side)
    file.save(str(tmp_path / "tokenizer.json"))
    pair = (cut, other) if how == "only_first" else (other, cut)
    step = Tokenizer(tmp_path, max_length=10, texts=["text", "pair"])
    texts = {"text": column(pair[0]), "pair": column(pair[1])}
    if len(other.split()) > 6:
        with pytest.raises(ValueError, match=f"no pair fits into 10 tokens with truncation {how}"):
            step(truncation=how, **texts)
    else:
        ids, mask = (step(truncation=how, **texts)[name] for name in ("input_ids", "attention_mask"))
        assert ids[mask == 1].tolist() == file.encode(*pair).ids


def growing_tokenizer(folder: Path, word_tokenizer: Path) -> TokenizerFile:
    """One that reads U+FDFA as the four words that it stands for."""
    file = TokenizerFile.from_file(str(word_tokenizer / "tokenizer.json"))
    file.normalizer = normalizers.NFKC()
    file.save(str(folder / "tokenizer.json"))
    return file


def test_texts_that_grow_when_they_are_normalized_are_counted_so(word_tokenizer: Path, tmp_path: Path) -> None:
    growing_tokenizer(tmp_path, word_tokenizer)
    assert characters("한" * 1_000_000) == 1_000_000
    refused = pytest.raises(
        ValueError, match=r"a text counted as 285000[01] characters; at most 1000000 are read: send less"
    )
    grown = column("\ufdfa" * 150_000)
    with refused:
        TextTokenizer(tmp_path, max_length=10)(input_text=grown)
    with refused:
        Tokenizer(tmp_path, max_length=10, texts=["text", "pair"])(text=column("a"), pair=grown)
    with pytest.raises(
        ValueError, match="all texts counted as 17100000 characters; at most 16000000 are read: send less"
    ):
        TextTokenizer(tmp_path, max_length=10)(input_text=column("\ufdfa" * 500).repeat(1_800, axis=0))


@pytest.mark.parametrize(
    "text", ["a," * 1_000_000 + "a b" + "a," * 1_000_010, "\ufdfa" * 60_000 + "a b" + "\ufdfa" * 70_000]
)
def test_a_text_without_a_space_in_its_beginning_is_refused_before_it_is_read(word_tokenizer: Path, text: str) -> None:
    step = TextTokenizer(word_tokenizer, max_length=10, words_alone=True)
    read: list[str] = []
    step.encode = lambda batch: read.extend(batch) or []  # type: ignore[method-assign,assignment,func-returns-value]
    with pytest.raises(ValueError, match="a text counted as"):
        step(input_text=column(text))
    assert read == []


@pytest.mark.parametrize("words_alone", [False, True])
def test_a_text_is_refused_when_it_is_long_and_all_of_it_must_be_read(word_tokenizer: Path, words_alone: bool) -> None:
    step = TextTokenizer(word_tokenizer, max_length=10, words_alone=words_alone)
    for text in ("a" * 1_000_001, "a b " * 250_001):
        if words_alone and " " in text:
            assert step(input_text=column("b", text))["input_ids"].shape == (2, 10)
            continue
        with pytest.raises(ValueError, match=f"a text counted as {len(text)} characters; at most 1000000 are read"):
            step(input_text=column("b", text))


def test_a_pair_of_texts_that_grow_is_answered(word_tokenizer: Path, tmp_path: Path) -> None:
    """Beside each other the library makes thousands of encodings of what it cuts off of these."""
    file = growing_tokenizer(tmp_path, word_tokenizer)
    file.enable_truncation(10)
    step = Tokenizer(tmp_path, max_length=10, texts=["text", "pair"])
    pair = ("\ufdfa" * 79, "\ufdfa" * 80)
    library, own = file.encode(*pair), step.encodings([pair], None)[0]
    assert own.ids == library.ids
    assert len(own.overflowing) < 100 < 4_000 < len(library.overflowing)
