"""`tbgen deploy image`, `compose` and the others: what is refused before a file is written, and edits that stay."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
import pytest
import yaml
from click.testing import CliRunner
from compose_spec import PyCompose

from tbgen.cli.deployments import DEPLOY_KINDS
from tbgen.cli.main import main
from tbgen.server.deploy.table import DEPLOYMENTS
from tests.server.deploy.fleets import IMAGE, deploy, of_kind, on_gpu, written


def test_each_row_has_a_command() -> None:
    assert [*DEPLOY_KINDS] == [*DEPLOYMENTS]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "a cluster has to find the models: bring them in an image"),
        (("--image", "kcbert:1"), "'kcbert:1' names no registry to pull from"),
        (("--image", "you/kcbert:1"), "'you/kcbert:1' names no registry to pull from"),
        (("--image", "ghcr.io/you/kcbert"), "'ghcr.io/you/kcbert' is no image of a fixed tag or digest"),
        (("--image", "ghcr.io/You/kcbert:1"), "'ghcr.io/You/kcbert:1' is no image of a fixed tag or digest"),
        (("--image", "ghcr.io/you/kcbert:latest"), "is another image tomorrow"),
        (("--models", "s3://"), "'s3://' names no bucket; write s3://BUCKET/PATH"),
        (("--models", "gs:///nlp"), "'gs:///nlp' names no bucket"),
        (("--models", "s3://http://minio:9000/"), "names no bucket"),
        (("--models", "s3://models/a b"), "has the folder 'a b' in its path"),
        (
            ("--models", "/srv/models"),
            "no models' place '/srv/models'. Models' places: gs://..., pvc://..., s3://...",
        ),
        (("--models", "pvc://Models"), "Kubernetes takes no claim 'Models'"),
        ((*IMAGE, "--name", "KcBert.v2"), "write for instance --name kcbert-v2"),
        ((*IMAGE, "--name", "k" * 55), "at most 54; write for instance --name " + "k" * 54),
        ((*IMAGE, "--name", "7b"), "write for instance --name triton"),
        (
            (*IMAGE, "--memory", "512"),
            "512 MiB of memory do not hold these models: a server of them takes 1408, 128 of",
        ),
        ((*IMAGE, "--triton", "9.9"), "no Triton release '9.9'"),
        ((*IMAGE, "--canary-of", "kcbert"), "'kcbert' is no canary of itself; give these servers another name"),
        ((*IMAGE, "--canary-of", "KcBert"), "write for instance --canary-of kcbert"),
    ],
)
def test_what_no_cluster_takes_is_one_sentence(
    sample_repository: Path, tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    done = deploy("kubernetes", sample_repository, tmp_path / "out", *arguments)
    assert done.exit_code == 1
    assert sentence in done.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("kind", "most"), [("kubernetes", 54), ("helm", 53), ("kserve", 48), ("compose", 63)])
def test_a_name_is_as_long_as_what_is_made_of_it_lets_it_be(
    sample_repository: Path, tmp_path: Path, kind: str, most: int
) -> None:
    written(kind, sample_repository, tmp_path / "longest", *IMAGE, "--name", "k" * most)
    done = deploy(kind, sample_repository, tmp_path / "out", *IMAGE, "--name", "k" * (most + 1))
    assert f"at most {most}; write for instance --name {'k' * most}" in done.output
    assert not (tmp_path / "out").exists()


def test_a_claim_may_have_dots(sample_repository: Path, tmp_path: Path) -> None:
    folder = written("kubernetes", sample_repository, tmp_path / "out", "--models", "pvc://7b.models/nlp")
    volumes = of_kind(folder, "Deployment")["spec"]["template"]["spec"]["volumes"]
    assert {"name": "models", "persistentVolumeClaim": {"claimName": "7b.models", "readOnly": True}} in volumes


def test_files_do_not_go_among_the_models(sample_repository: Path) -> None:
    done = deploy("image", sample_repository, sample_repository / "deploy")
    assert "lies in the model repository, where Triton takes it for a model" in done.output
    assert not (sample_repository / "deploy").exists()


@pytest.mark.parametrize("kind", ["image", "compose"])
def test_a_model_with_a_package_that_the_stock_image_lacks_is_refused(
    kind: str, sample_repository: Path, tmp_path: Path
) -> None:
    models = Path(shutil.copytree(sample_repository, tmp_path / "models"))
    with (models / "kcbert_onnx_bls" / "1" / "softmax_classification.py").open("a", encoding="utf-8") as file:
        file.write("import onnxruntime\n")
    done = deploy(kind, models, tmp_path / "out")
    assert done.exit_code == 1
    assert (
        "does not serve kcbert_onnx_bls: in a stock container: ModuleNotFoundError: No module named 'onnxr"
        in done.output
    )
    assert "or name an image that has it with --image" in done.output
    assert not (tmp_path / "out").exists()
    assert deploy("kubernetes", models, tmp_path / "out", *IMAGE).exit_code == 0  # of one's own, which may have it


def test_an_image_that_cannot_run_the_engine_is_refused(sample_repository: Path, tmp_path: Path) -> None:
    shutil.copytree(sample_repository, tmp_path / "models")
    file = tmp_path / "models" / "kcbert_onnx" / "1" / "model.onnx"
    model = onnx.load(file)
    next(each for each in model.opset_import if not each.domain).version = 23
    onnx.save(model, file)
    done = deploy("compose", tmp_path / "models", tmp_path / "out", "--triton", "24.10")
    assert done.exit_code == 1
    assert "Triton 24.10 does not serve kcbert_onnx:" in done.output
    assert not (tmp_path / "out").exists()


def test_models_without_their_code_are_refused(sample_repository: Path, tmp_path: Path) -> None:
    shutil.copytree(sample_repository, tmp_path / "models")
    config = tmp_path / "models" / "kcbert_onnx_bls" / "config.pbtxt"
    config.write_text(config.read_text(encoding="utf-8").replace('"python"', '"tbgen"'), encoding="utf-8")
    done = deploy("image", tmp_path / "models", tmp_path / "out")
    assert "kcbert_onnx_bls holds no code (--steps backend)" in done.output


@pytest.mark.parametrize("kind", DEPLOYMENTS)
def test_written_anew_the_same_files_stay(sample_repository: Path, tmp_path: Path, kind: str) -> None:
    folder = written(kind, sample_repository, tmp_path / "out", *(IMAGE if kind != "image" else ()))
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    written(kind, sample_repository, tmp_path / "out", *(IMAGE if kind != "image" else ()))
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before


def test_edits_are_kept_and_the_rest_is_written_anew(sample_repository: Path, tmp_path: Path) -> None:
    folder = written("kubernetes", sample_repository, tmp_path / "out", *IMAGE)
    edited = (folder / "services.yaml").read_text(encoding="utf-8").replace("ClusterIP\n", "LoadBalancer\n", 1)
    (folder / "services.yaml").write_text(edited, encoding="utf-8")
    (folder / "ingress.yaml").write_text("kind: Ingress\n", encoding="utf-8")
    (folder / "network.yaml").unlink()
    (folder / "deployment.yaml").chmod(0o600)
    folder.chmod(0o700)
    done = deploy("kubernetes", sample_repository, folder, "--image", "ghcr.io/you/kcbert:2", "--json")
    states = {each["name"]: each["state"] for each in json.loads(done.output)["files"]}
    assert states["services.yaml"] == "edited"
    assert states["ingress.yaml"] == "own"
    assert states["network.yaml"] == "missing"
    assert states["deployment.yaml"] == "updated"
    assert [each.stat().st_mode & 0o777 for each in (folder, folder / "deployment.yaml")] == [0o700, 0o600]
    assert (folder / "services.yaml").read_text(encoding="utf-8") == edited
    assert "ghcr.io/you/kcbert:2" in (folder / "deployment.yaml").read_text(encoding="utf-8")
    written("kubernetes", sample_repository, folder, *IMAGE, "--force")
    assert "type: ClusterIP" in (folder / "services.yaml").read_text(encoding="utf-8")
    assert (folder / "ingress.yaml").exists()


def test_a_recipe_says_what_is_deployed(
    sample_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = f'name = "shop"\nrepository = "{sample_repository}"\n'
    (tmp_path / "tbgen.toml").write_text(recipe, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["deploy", "kubernetes", *IMAGE])
    assert done.exit_code == 0, done.output
    assert of_kind(tmp_path / "deploy" / "kubernetes", "Deployment")["metadata"]["name"] == "shop"


def test_a_folder_of_something_else_is_left_alone(sample_repository: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine", encoding="utf-8")
    done = deploy("compose", sample_repository, tmp_path / "out")
    assert "is there, and tbgen did not write it; name another folder with --output" in done.output
    written("compose", sample_repository, tmp_path / "compose")
    done = deploy("kubernetes", sample_repository, tmp_path / "compose", *IMAGE)
    assert "holds the files of `tbgen deploy compose`" in done.output


@pytest.mark.parametrize("arguments", [(), ("--models", "gs://models/nlp"), IMAGE], ids=["folder", "bucket", "image"])
def test_a_compose_file_is_one_by_its_specification(
    sample_repository: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    folder = written("compose", sample_repository, tmp_path / "out", *arguments)
    text = (folder / "compose.yaml").read_text(encoding="utf-8")
    PyCompose(text)
    assert ("source: " + str(sample_repository.resolve()) in text) == (not arguments)
    services = yaml.safe_load(text)["services"]
    assert services["edge"]["stop_grace_period"] == "45s"  # what it has begun, and then Triton ends


def test_compose_gives_a_server_the_share_of_the_cpus_that_it_was_told(sample_repository: Path, tmp_path: Path) -> None:
    folder = written("compose", sample_repository, tmp_path / "out", "--cpus", "3")
    server = yaml.safe_load((folder / "compose.yaml").read_text(encoding="utf-8"))["services"]["triton"]
    assert server["cpu_shares"] == 3 * 1024  # as a request of Kubernetes, and no limit


def test_compose_gives_an_engine_its_gpu(sample_repository: Path, tmp_path: Path) -> None:
    folder = written("compose", on_gpu(sample_repository, tmp_path / "models"), tmp_path / "out")
    text = (folder / "compose.yaml").read_text(encoding="utf-8")
    PyCompose(text)
    devices = yaml.safe_load(text)["services"]["triton"]["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]


def test_a_name_that_only_a_cluster_refuses_is_made_to_fit_elsewhere(sample_repository: Path, tmp_path: Path) -> None:
    shutil.copytree(sample_repository, tmp_path / "models")
    for file in (tmp_path / "models").glob("*/tbgen.json"):
        record = json.loads(file.read_text(encoding="utf-8")) | {"name": "Kc_Bert"}
        file.write_text(json.dumps(record), encoding="utf-8")
    folder = written("compose", tmp_path / "models", tmp_path / "out")
    assert yaml.safe_load((folder / "compose.yaml").read_text(encoding="utf-8"))["name"] == "kc-bert"
    refused = deploy("kubernetes", tmp_path / "models", tmp_path / "none", *IMAGE)
    assert "write for instance --name kc-bert" in refused.output


def test_a_containerfile_installs_nothing_and_is_not_root(sample_repository: Path, tmp_path: Path) -> None:
    folder = written("image", sample_repository, tmp_path / "out", "--triton", "24.12")
    lines = (folder / "Containerfile").read_text(encoding="utf-8").splitlines()
    words = [line.split()[0] for line in lines if not line.startswith("#")]
    assert words == ["FROM", "ENV", *["COPY"] * 5, "USER", "CMD"]
    assert "FROM nvcr.io/nvidia/tritonserver:24.12-py3" in lines
    assert "USER 1000:1000" in lines
