"""The shape of the house: source root, and imports that run one way."""

import ast
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ALLOWED = {
    "errors": set(),
    "records": {"errors"},
    "storage": {"errors"},
    "entry": {"errors"},
    "data": {"errors", "records", "storage"},
    "models": {"errors", "records"},
    "collapse": {"errors", "records"},
    "curves": {"errors", "records"},
    "kernels": set(),
}
ALLOWED["models"] |= {"kernels"}
ALLOWED["data"] |= {"kernels"}
ALLOWED["training"] = {*ALLOWED, "training"} - {"entry", "curves"}
ALLOWED["study"] = {*ALLOWED} - {"entry"}
ALLOWED["serve"] = {*ALLOWED} - {"entry"}
ALLOWED["cluster"] = {*ALLOWED} - {"entry", "serve"}
ALLOWED["cli"] = {*ALLOWED}
HEAVY = {
    "ray": ("cluster",),
    "mlflow": ("study/tracking.py",),
    "duckdb": ("data",),
    "plotly": (),
    "numba": ("kernels",),
    "llvmlite": ("kernels",),
}


def test_platform_is_a_source_root_not_a_package(project_root: Path) -> None:
    assert not (project_root / "platform" / "__init__.py").exists()
    assert platform.python_implementation()


def test_the_standard_platform_module_wins_from_the_root(project_root: Path) -> None:
    code = "import platform; print(platform.__file__)"
    answer = subprocess.run([sys.executable, "-c", code], cwd=project_root, capture_output=True, text=True, check=True)
    assert str(project_root) not in answer.stdout.replace(str(project_root / ".venv"), "")


def _modules(project_root: Path) -> list[Path]:
    return sorted((project_root / "platform" / "recscale").rglob("*.py"))


def _imports(path: Path) -> set[str]:
    """Dotted names of everything a file imports, at any depth."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_imports_run_one_way(project_root: Path) -> None:
    wrong = []
    for path in _modules(project_root):
        room = path.relative_to(project_root / "platform" / "recscale").parts[0].removesuffix(".py")
        for name in _imports(path):
            parts = name.split(".")
            if parts[0] == "recscale" and len(parts) > 1 and parts[1] not in {room, *ALLOWED.get(room, set())}:
                wrong.append(f"{path.name} of {room} imports {name}")
    assert not [line for line in wrong if "__version__" not in line]


@pytest.mark.parametrize("library", sorted(HEAVY))
def test_each_heavy_neighbour_has_one_room(library: str, project_root: Path) -> None:
    package = project_root / "platform" / "recscale"
    users = {
        str(path.relative_to(package))
        for path in _modules(project_root)
        if any(name.split(".")[0] == library for name in _imports(path))
    }
    assert all(user.startswith(HEAVY[library]) for user in users) if HEAVY[library] else not users


READERS = (
    "recscale.cli",
    "recscale.cluster.launch",
    "recscale.data.inspection",
    "recscale.data.prepare",
    "recscale.study.status",
    "recscale.study.results",
    "recscale.study.mirror",
    "recscale.study.catalog",
    "recscale.study.seeds",
    "recscale.curves.table",
    "recscale.serve.app",
    "dashboards.pages",
    "dashboards.index",
    "dashboards.compare",
)
"""What the commands load that prepare data, read studies, or find that nothing of one is left to run."""


def test_what_commands_load_that_read_studies_or_prepare_files_is_without_torch(project_root: Path) -> None:
    code = f"import sys, {', '.join(READERS)}; print(*{{'torch', 'ray', 'mlflow'}} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], cwd=project_root, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == ""
