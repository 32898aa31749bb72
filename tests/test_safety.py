"""Nothing in the source unpickles, evaluates or runs what a file says, unless a user asks for it.

The syntax trees are read: what no test thought of calling is found as well.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Calls that execute their argument, or what they load, whatever the keywords.
EXECUTES = {
    "eval", "exec", "__import__", "os.system", "os.popen", "pickle.load", "pickle.loads",
    "pickle.Unpickler", "marshal.loads", "shelve.open", "yaml.load", "joblib.load",
    "torch.hub.load", "runpy.run_path",
}  # fmt: skip
# A shell that runs a line of a file: `prepare kaldi --allow-pipes`, asked for by the user.
SHELLS_ASKED_FOR = {"pipelines/kaldi_recordings.py"}


def faults(name: str, code: str) -> Iterator[str]:
    """Each call in the source of a file that may execute what it is given."""
    for call in (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)):
        function = ast.unparse(call.func)
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        has_shell = function.startswith("subprocess.") and "/bin/sh" in ast.unparse(call)
        if (
            function in EXECUTES
            or function.endswith(".extractall")
            or given.get("shell", "False") != "False"
            or given.get("allow_pickle", "False") != "False"
            or (function == "torch.load" and given.get("weights_only") != "True")
            or (has_shell and name not in SHELLS_ASKED_FOR)
        ):
            yield f"{name}:{call.lineno}: {function}"


@pytest.mark.parametrize("package", ["featurize", "model", "pipelines", "kaldi_recipes"])
def test_nothing_is_executed_or_unpickled(package: str) -> None:
    paths = sorted((ROOT / package).rglob("*.py"))
    found = [
        fault
        for path in paths
        for fault in faults(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))
    ]
    assert paths and not found


@pytest.mark.parametrize("code", [
    "pickle.loads(x)", "torch.load(x)", "np.load(x, allow_pickle=True)", "eval(x)",
    "subprocess.run(x, shell=True)", "subprocess.run(['/bin/sh', '-c', x])",
    "archive.extractall(x)", "torch.load(x, weights_only=False)",
])  # fmt: skip
def test_the_search_finds_what_it_looks_for(code: str) -> None:
    assert list(faults("pipelines/x.py", f"def f(x):\n    return {code}\n"))


def test_every_claim_of_the_security_note_names_a_test_that_is_there() -> None:
    path, n_claims = None, 0
    for name, test in re.findall(r"`([\w/.]*\.py)?::(\w+)`", (ROOT / "SECURITY.md").read_text()):
        path = ROOT / name if name else path
        assert path is not None and f"def {test}(" in path.read_text(encoding="utf-8"), test
        n_claims += 1
    assert n_claims > 20
