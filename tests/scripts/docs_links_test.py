#!/usr/bin/env python3
"""Every file that README, CONTRIBUTING, CHANGELOG and docs/ name exists, and every link to a page or a heading leads somewhere.

    tests/scripts/docs_links_test.py
"""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parents[2]
pages = [root / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted((root / "docs").glob("*.md"))
folders = "app|assets|base|bench|cmake|configs|data|diffusion|docs|metrics|model|scripts|tests"
faults = []


def anchors(page):
    """The ids that GitHub gives the headings of a page."""
    result = set()
    for line in re.sub(r"```.*?```", "", page.read_text(), flags=re.S).splitlines():
        if line.startswith("#"):
            title = re.sub(r"[`*]|\[|\]\([^)]*\)", "", line.lstrip("#").strip()).lower()
            result.add(re.sub(r"[^\w\- ]", "", title).replace(" ", "-"))
    return result


def exists(path):
    """A file, a folder, `NAME.*`, or `NAME.{h,cpp}`; a placeholder in capitals stands for any name."""
    if re.search(r"\b[A-Z]{4,}\b|\bNAME|OUT|FOLDER", path):
        return True
    alternatives = re.match(r"(.*)\{([^}]*)\}(.*)", path)
    if alternatives:
        before, names, after = alternatives.groups()
        return all(exists(before + name + after) for name in names.split(","))
    return any(root.glob(path)) if "*" in path else (root / path).exists()


for page in pages:
    text = page.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = page if not name else page.parent / name
        if not file.exists():
            faults.append(f"{page.relative_to(root)}: link to {target}, which does not exist")
        elif anchor and anchor not in anchors(file):
            faults.append(f"{page.relative_to(root)}: link to {target}, a page without this heading")
    for code in re.findall(r"`([^`\n]+)`", text):
        for path in re.findall(rf"(?:^|(?<=[\s,(]))(?:{folders})/[\w./*{{}},-]*[\w*}}/]", code):
            if not exists(path):
                faults.append(f"{page.relative_to(root)}: names {path}, which does not exist")

print("\n".join(faults) or f"docs: links and files of {len(pages)} pages exist")
sys.exit(1 if faults else 0)
