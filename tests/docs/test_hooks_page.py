"""The page on hooks is complete and names nothing that does not exist."""

import ast

from tests.docs.pages import ROOT, headings, page


def _signatures() -> set[str]:
    """Return the signature of every hook specification, as it is written."""
    module = ast.parse((ROOT / "plugins" / "hookspecs.py").read_text(encoding="utf-8"))
    return {
        f"{node.name}({ast.unparse(node.args)}) -> {ast.unparse(node.returns)}"
        for node in module.body
        if isinstance(node, ast.FunctionDef) and node.returns and "hookspec" in map(_word, node.decorator_list)
    }


def _word(decorator: ast.expr) -> str:
    return ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator)


def test_every_hook_is_a_heading_with_its_real_signature() -> None:
    """Each hook has a heading that is its signature, and each such heading is a hook."""
    assert _signatures()
    assert set(headings(page("hooks.md"), 3)) == _signatures()
