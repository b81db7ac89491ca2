#!/usr/bin/env python3
"""Fails if a public declaration in include/espalier lacks its documentation.

    tools/check_public_docs.py [ROOT]

Every class and function has a `///` comment, every struct and enum one for itself or for one of its
fields; a run of functions without a blank line between shares the first one's. Inside a class,
accessors (const, no parameters), one-liners, overrides, constructors, destructors, operators and
nested types need none. A function whose source throws has
`@throws` (kInternal, our own bug, does not count), one that is noexcept has not, and every `@param`
names a parameter. Tested by tests/tools.
"""
import pathlib
import re
import sys

import cxx_text

_ACCESS = re.compile(r"^\s*(public|protected|private)\s*:(?!:)")
_TYPE = re.compile(r"^(?:template\s*<.*?>\s*)?(?:class|struct|union|enum(?:\s+class)?)\s+(\w+)", re.S)
_CALLED = re.compile(r"(~?\w+)\s*\(")
_THROW = re.compile(r"\bthrow\s+\w+\s*[({](?!\s*ErrorCode::kInternal\b)")
_HIDDEN_NAMESPACES = ("internal", "detail")


class Declaration:
    def __init__(self, kind, name, text, in_class, first_line, last_line, body_is_inline):
        self.kind = kind  # "type" or "function"
        self.name = name  # with its class: "Tensor::SetBytes"
        self.text = text
        self.in_class = in_class
        self.first_line = first_line
        self.last_line = last_line
        self.body_is_inline = body_is_inline
        self.doc = None


def declarations(text):
    """Public declarations of a header, in order."""
    code = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda m: re.sub(r"[^\n]", " ", m.group(0)),
                  cxx_text.without_comments(text), flags=re.M)
    found = []
    stack = []  # [kind, class name, access, declaration whose body this is]
    start = 0
    for match in re.finditer(r"[{};]|\b(?:public|protected|private)\s*:(?!:)", code):
        token, at = match.group(0), match.start()
        opaque = any(entry[0] == "opaque" for entry in stack)
        if token == "}":
            if stack:
                body_of = stack.pop()[3]
                if body_of is not None:
                    body_of.last_line = code.count("\n", 0, at) + 1
            start = at + 1
            continue
        if opaque:
            if token == "{":
                stack.append(["opaque", None, "", None])
            continue
        if token[0] == "p":
            if stack and stack[-1][0] == "class":
                stack[-1][2] = token.split(":")[0].strip()
                start = match.end()
            continue
        add_statement(code, start, at, token, stack, found)
        start = at + 1
    return found


def add_statement(code, start, at, token, stack, found):
    statement = code[start:at]
    head = statement.strip()
    first = code.count("\n", 0, at - len(statement.lstrip())) + 1
    last = code.count("\n", 0, at) + 1
    public = all(entry[0] != "class" or entry[2] == "public" for entry in stack)
    classes = [entry[1] for entry in stack if entry[0] == "class"]
    declaration = None
    type_name = _TYPE.match(head)
    if type_name and "(" not in head and (token == "{" or not classes):
        declaration = Declaration("type", type_name.group(1), head, bool(classes), first,
                                  last, False)
    elif "(" in head and not re.match(r"(using|typedef|friend|static_assert|namespace)\b", head):
        name = _CALLED.search(re.sub(r"\b(?:alignas|decltype|noexcept)\s*\([^()]*\)", "", head))
        if name and "=" not in head[:head.index("(")].replace("operator==", ""):
            declaration = Declaration("function", "::".join(classes[-1:] + [name.group(1)]), head,
                                      bool(classes), first, last, token == "{")
    if declaration is not None and public:
        found.append(declaration)
    if token == "{":
        namespace = re.match(r"(?:inline\s+)?namespace\b\s*([\w:]*)", head)
        if namespace:
            hidden = namespace.group(1).split("::")[-1] in _HIDDEN_NAMESPACES + ("",)
            stack.append(["opaque" if hidden else "namespace", None, "", None])
        elif type_name and not head.startswith("enum") and "(" not in head:
            access = "private" if re.search(r"\bclass\b(?!.*>)", head) else "public"
            stack.append(["class", type_name.group(1), access, declaration])
        else:
            stack.append(["opaque", None, "", declaration])


def attach_docs(found, lines):
    """The `///` lines above each declaration, or those of the neighbour directly above it."""
    previous = None
    for declaration in found:
        line = declaration.first_line - 1  # index of the declaration's own line
        doc = []
        while line > 0 and lines[line - 1].lstrip().startswith("///"):
            doc.insert(0, lines[line - 1].strip())
            line -= 1
        if not doc and declaration.kind == "type" and not declaration.text.startswith("class"):
            body = lines[declaration.first_line - 1:declaration.last_line]
            doc = [text for text in body if "///" in text]
        elif "///<" in lines[declaration.last_line - 1]:
            doc.append(lines[declaration.last_line - 1])
        neighbour = (previous and previous.kind == declaration.kind == "function" and
                     not needs_no_doc(declaration))
        if not doc and neighbour and previous.last_line == declaration.first_line - 1:
            declaration.doc = previous.doc
        elif doc:
            declaration.doc = "\n".join(doc)
        previous = declaration


def needs_no_doc(declaration):
    if not declaration.in_class:
        return False
    if declaration.kind == "type":
        return True
    owner, name = declaration.name.split("::")
    one_line = declaration.body_is_inline and declaration.first_line == declaration.last_line
    accessor = re.search(r"\(\s*\)\s*const\b", declaration.text)
    overrides = re.search(r"\boverride\b", declaration.text)
    special = owner == name.lstrip("~") or "operator" in declaration.text
    return bool(one_line or accessor or overrides or special)


def throwing_functions(source):
    """Names of the functions in one source file that throw, themselves or through each other."""
    functions = cxx_text.functions(source)
    throwing = {f.name for f in functions if _THROW.search(f.body)}
    grew = True
    while grew:
        grew = False
        for function in functions:
            called = set(re.findall(r"\b(\w+)\s*\(", function.body))
            if function.name not in throwing and "catch (" not in function.body:
                if called & throwing:
                    throwing.add(function.name)
                    grew = True
    return throwing


def problems_of(declaration, throwing):
    is_noexcept = re.search(r"\bnoexcept\b(?!\s*\(false)", declaration.text)
    defaulted = re.search(r"=\s*(default|delete)$", declaration.text)
    throws = (declaration.kind == "function" and declaration.name in throwing and
              not is_noexcept and not defaulted)
    if declaration.doc is None:
        if throws or not needs_no_doc(declaration):
            yield f"{declaration.kind} {declaration.name} has no /// comment"
        return
    if declaration.kind != "function":
        return
    said = "@throws" in declaration.doc
    if said and is_noexcept:
        yield f"{declaration.name} is noexcept and documents @throws"
    if throws and not said:
        yield f"{declaration.name} throws in its source, but has no @throws"
    for parameter in re.findall(r"@param\s+(\w+)", declaration.doc):
        if not re.search(rf"\b{parameter}\b", declaration.text):
            yield f"{declaration.name} has no parameter '{parameter}'"


def check(root):
    root = pathlib.Path(root)
    problems = []
    for path in sorted((root / "include" / "espalier").rglob("*.h")):
        text = path.read_text(encoding="utf-8")
        found = declarations(text)
        attach_docs(found, text.split("\n"))
        throwing = set()
        for source in sorted((root / "src" / path.parent.name).glob("*.cc")):
            throwing |= throwing_functions(source.read_text(encoding="utf-8"))
        place = path.relative_to(root).as_posix()
        shared = set()  # a group's problem is reported once
        for declaration in found:
            for problem in problems_of(declaration, throwing):
                if "parameter" in problem and declaration.doc in shared:
                    continue
                problems.append(f"{place}:{declaration.first_line}: {problem}")
            shared.add(declaration.doc)
    return problems


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent
    problems = check(root)
    for problem in problems:
        print(problem)
    print(f"check_public_docs: {len(problems)} problems" if problems else "check_public_docs: ok")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
