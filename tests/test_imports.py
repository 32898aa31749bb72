"""Imports go one way: featurize <- model <- pipelines.<stage> <- pipelines.cli."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STAGES = {
    "prepare_voxceleb2", "prepare_mosei", "prepare_kaldi", "decode", "select", "extract",
    "pretrain", "finetune", "embed", "evaluate", "compare", "report.write",
    "exchange.export_webdataset", "exchange.export_lhotse", "exchange.export_mmsa",
    "exchange.export_kaldi", "exchange.import_csd", "exchange.import_npz",
}  # fmt: skip
PARTS_OF_THE_COMMAND_LINE = {
    "pipelines.cli_compare",
    "pipelines.cli_decode",
    "pipelines.cli_embed",
    "pipelines.cli_exchange",
    "pipelines.cli_doctor",
    "pipelines.cli_plan",
    "pipelines.cli_retry",
    "pipelines.cli_select",
    "pipelines.cli_store",
    "pipelines.cli_training",
}
COMMAND_LINE = {"pipelines.cli"} | PARTS_OF_THE_COMMAND_LINE
HEAVY = {
    "torch", "torchvision", "torchaudio", "cv2", "gensim", "vosk", "matplotlib", "h5py", "joblib",
    "av", "scipy", "jinja2", "lhotse", "kaldiio",
}  # fmt: skip
FORBIDDEN = {
    "featurize": {"model", "pipelines", "click", "joblib"},
    "model": {"pipelines", "cv2", "gensim", "torchvision", "torchaudio", "click", "joblib", "av"},
}
MODEL_MAY_USE = {
    f"featurize.{name}"
    for name in ("shards", "errors", "atomic", "cmvn", "plain_json", "precision")
}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path, *, top_level_only: bool = False) -> set[str]:
    """Dotted names of the modules that a file imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = _executed_on_import(tree) if top_level_only else ast.walk(tree)
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _executed_on_import(tree: ast.Module) -> list[ast.stmt]:
    return [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]


@pytest.mark.parametrize("package", FORBIDDEN)
def test_a_package_does_not_import_what_stands_above_it(package: str) -> None:
    for path in modules(package):
        roots = {name.split(".")[0] for name in imported(path)}
        assert not roots & FORBIDDEN[package], path


def test_model_uses_only_the_contract_of_featurize() -> None:
    for path in modules("model"):
        used = {name for name in imported(path) if name.startswith("featurize")}
        beyond = {n for n in used if not any(f"{n}.".startswith(f"{m}.") for m in MODEL_MAY_USE)}
        assert not beyond - {"featurize"}, path


def test_stages_do_not_import_sibling_stages_or_the_command_line() -> None:
    for stage in STAGES:
        path = ROOT / "pipelines" / f"{stage.replace('.', '/')}.py"
        others = {f"pipelines.{name}" for name in STAGES - {stage}} | COMMAND_LINE
        assert not imported(path) & others, path


def test_only_the_command_line_knows_the_demo_and_nobody_knows_the_command_line() -> None:
    for path in [*modules("featurize"), *modules("model"), *modules("pipelines")]:
        names = imported(path)
        allowed = PARTS_OF_THE_COMMAND_LINE if path == ROOT / "pipelines" / "cli.py" else set()
        assert not names & (COMMAND_LINE - allowed), path
        if path.name != "cli.py" and path.parent.name != "demo":
            assert not any(name.startswith("pipelines.demo") for name in names), path


def test_heavy_imports_wait_for_the_command_that_needs_them() -> None:
    for path in modules("pipelines"):
        if path.parent.name == "demo":  # runs as one command
            continue
        roots = {name.split(".")[0] for name in imported(path, top_level_only=True)}
        assert not roots & HEAVY, path
