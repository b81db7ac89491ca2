"""Just enough reading of C++ text for the checks in this folder: comments, includes, functions.

No parser: the code is formatted by clang-format, so line-wise rules and brace counting do.
"""
import re

_TOKEN = re.compile(
    r"""//[^\n]*|/\*.*?\*/|R"([^()\s]*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-zA-Z])'(?:\\.|[^'\\\n])+'""",
    re.S)
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"]+)[>"]', re.M)
_DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.M)
_SCOPE = re.compile(r'\bnamespace\b|^\s*(?:template\s*<.*>\s*)?(?:class|struct|union|enum)\b'
                    r'[^()]*$|extern\s*""\s*$', re.S)
_NAME = re.compile(r"([~\w:]+|operator\s*[^\s\w(]+)\s*\(")


def _blank(text):
    return "".join(c if c == "\n" else " " for c in text)


def without_comments(text):
    """Comments become spaces and literals empty; every line keeps its number."""

    def replace(match):
        token = match.group(0)
        if token.startswith("/"):
            return _blank(token)
        return '""' + "\n" * token.count("\n") if token[0] in 'R"' else "' '"

    return _TOKEN.sub(replace, text)


def includes(text):
    """(line, path) of every #include that is not in a comment."""
    blanked = _TOKEN.sub(lambda m: _blank(m.group(0)) if m.group(0)[0] == "/" else m.group(0), text)
    return [(blanked.count("\n", 0, m.start()) + 1, m.group(1)) for m in _INCLUDE.finditer(blanked)]


class Function:
    def __init__(self, name, first_line, last_line, body):
        self.name = name
        self.first_line = first_line
        self.last_line = last_line
        self.body = body


def functions(text):
    """Function definitions at namespace or class scope, with their bodies without comments."""
    code = _DIRECTIVE.sub(lambda m: _blank(m.group(0)), without_comments(text))
    found = []
    stack = []  # (kind, name, start of the head, position of the brace)
    head = 0
    for match in re.finditer(r"[{};]", code):
        brace, at = match.group(0), match.start()
        in_function = any(entry[0] == "function" for entry in stack)
        if brace == "{":
            text_before = code[head:at]
            kind, name = "block", ""
            if not in_function:
                called = _NAME.search(text_before)
                if _SCOPE.search(text_before):
                    kind = "scope"
                elif called and "=" not in text_before[:called.start()]:
                    kind, name = "function", called.group(1)
            stack.append((kind, name, head, at))
        elif brace == "}" and stack:
            kind, name, start, opened = stack.pop()
            if kind == "function":
                start += len(code[start:opened]) - len(code[start:opened].lstrip())
                found.append(Function(name, code.count("\n", 0, start) + 1,
                                      code.count("\n", 0, at) + 1, code[opened:at]))
        if not any(entry[0] == "function" for entry in stack):
            head = at + 1
    return found
