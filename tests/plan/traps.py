"""YAML that two readers may take for different things: whole files, and single values put into one.

Kept as data so that both lanes read them: `test_reader.py` asks that each is answered, `test_reader_of_cli.py` that the
answer is the Pulumi CLI's.
"""

from __future__ import annotations

VALUES = r"""
text 3 0.5 10.0 1e2 1E3 1.5e3 1e400 0144 09 0o17 0x64 0b101 1_00 1_000.5 +5 -3 -0 .5 5. 1e-7 123456789.123 0.1
100000000000000000000000 999999999999999999999 18446744073709551615 18446744073709551616 -9223372036854775808
-9223372036854775809 9007199254740993 true True yes on NO null ~ Null .nan .inf -.inf .Inf 12:30 1:30:30 190:20:30.15
2027-01-31 2027-1-3 2027-01-31T10:00:00Z 2027-01-31T00:00:00+02:00 2001-12-14t21:59:43.10-05:00 2027-02-30 10000-01-01
0000-01-01 2027-01-31T25:00:00Z 012345678901 123_456_789_012 123456789012 1e10 3.0e0 0x1F 0X1f 0O17 0o8 0b 0b2 1__0 _1
0_1 0x_1 0777 08 1.2.3 infinity +.5 -.5e+2 0. 1e e1 0e0 000 00 -012 1.0e+1 1.e2 TRUE tRue y n Y 1e+2 12e03 6.0e-1 0.1.2
- 1,000 0.30 1.35 00.5 007.25 -0.0 -0.5 1e308 -1e-400 1e21 1e20 1e-6 0.000001234 1234567890123456789012.0 &a =  !x 'q'
"q" "\uD800" "\ud83d\ude00" "\e[31m" "\x00" "\/" "a\
b" << !!str!3 !!int!3 !!int!3.0 !!float!3 !!bool!yes !!null!x !!binary!aGFsOQ== !!str!2027-01-01 !!timestamp!2027-01-01
!Ref!owner !!python/object/apply:os.system!x @x `x` %x ?x -x :x x:y x#y *x +-1 +1e3 --1 1-2 0-333 0x 0o .e1 ._1 1._5
0.1_0
"""
"""A blank stands between two; `!!tag!value` is a tag and its value."""

DOCUMENTS: dict[str, str] = {
    "empty": "",
    "comment": "# nothing\n",
    "config is a list": "config: []\n",
    "config is empty": "config:\n",
    "config is text": "config: text\n",
    "the top is a list": "- a\n- b\n",
    "a key twice": "config:\n  hal9:a: 1\n  hal9:a: 2\n",
    "a nested key twice": "config:\n  hal9:a: {b: 1, b: 2}\n",
    "a quoted key twice": "config:\n  hal9:a: {'1': 1, 1: 2}\n",
    "one number as two keys": "config:\n  hal9:a: {0x10: 1, 16: 2}\n",
    "config twice": "config:\n  hal9:a: 1\nconfig:\n  hal9:b: 2\n",
    "no namespace": "config:\n  a: 1\n",
    "two namespaces": "config:\n  hal9:b:c: 1\n",
    "an old key": "config:\n  hal9:config:a: 5\n",
    "a key with a dot": "config:\n  hal9:b.c: 1\n",
    "a boolean key": "config:\n  hal9:a: {true: 1}\n",
    "a null key": "config:\n  hal9:a: {~: 1}\n",
    "a number as key": "config:\n  hal9:a: {1: 1}\n",
    "a fraction as key": "config:\n  hal9:a: {1.0: 1}\n",
    "a day as key": "config:\n  hal9:a: {2027-01-01: 1}\n",
    "a list as key": "config:\n  hal9:a: {[1]: 1}\n",
    "an empty key": "config:\n  hal9:a: {'': 1}\n",
    "a number at the top": "config:\n  1: 1\n",
    "nothing at the top": "config:\n  ~: 1\n",
    "secure": "config:\n  hal9:a: {secure: v1:x:y}\n",
    "merge": "config:\n  hal9:a: &x {b: 1}\n  hal9:b: {<<: *x, c: 2}\n",
    "merge behind": "config:\n  hal9:a: &x {b: 1}\n  hal9:b: {c: 2, <<: *x}\n",
    "merge and own": "config:\n  hal9:a: &x {b: 1}\n  hal9:b: {<<: *x, b: 2}\n",
    "merge of a list": "config:\n  hal9:a: &x {b: 1}\n  hal9:c: &y {b: 2, d: 3}\n  hal9:b: {<<: [*x, *y], c: 2}\n",
    "merge at the top": "x: &x\n  hal9:a: 1\nconfig:\n  <<: *x\n  hal9:b: 2\n",
    "merge of a number": "config:\n  hal9:a: {<<: 1}\n",
    "alias": "config:\n  hal9:a: &x [1, 2]\n  hal9:b: *x\n",
    "an alias of nothing": "config:\n  hal9:a: *x\n",
    "a list in itself": "config:\n  hal9:a: &x [*x]\n",
    "a map in itself": "config:\n  hal9:a: &x\n    b: *x\n",
    "an anchor twice": "config:\n  hal9:a: &x 1\n  hal9:b: &x 2\n  hal9:c: *x\n",
    "byte order mark": "\ufeffconfig:\n  hal9:a: 1\n",
    "carriage returns": "config:\r\n  hal9:a: 1\r\n  hal9:b: |\r\n    x\r\n    y\r\n",
    "carriage returns alone": "config:\r  hal9:a: 1\r",
    "next line": "config:\n  hal9:a: x\u0085y\n",
    "line separator": "config:\n  hal9:a: x\u2028y\n",
    "no-break space": "config:\n  hal9:a: x\u00a0y\n",
    "zero width": "config:\n  hal9:a: x\u200by\n",
    "delete": "config:\n  hal9:a: x\u007fy\n",
    "a C1 control": "config:\n  hal9:a: x\u0080y\n",
    "nul": "config:\n  hal9:a: x\0y\n",
    "escape": "config:\n  hal9:a: x\x1by\n",
    "emoji": "config:\n  hal9:a: \U0001f600\n",
    "no character": "config:\n  hal9:a: x\uffffy\n",
    "a tab before a value": "config:\n  hal9:a:\t1\n",
    "a tab indents": "config:\n\thal9:a: 1\n",
    "a tab behind a value": "config:\n  hal9:a: 1\t\n",
    "tabs in a flow": "config:\n  hal9:a: [\t1,\t2]\n",
    "YAML 1.1": "%YAML 1.1\n---\nconfig:\n  hal9:a: 1\n",
    "YAML 1.2": "%YAML 1.2\n---\nconfig:\n  hal9:a: yes\n",
    "a tag's prefix": "%TAG ! tag:x,2000:\n---\nconfig:\n  hal9:a: !foo x\n",
    "behind the end": "config:\n  hal9:a: 1\n...\nfoo\n",
    "a document's start": "---\nconfig:\n  hal9:a: 1\n",
    "two documents": "config:\n  hal9:a: 1\n---\nconfig:\n  hal9:a: 2\n",
    "JSON": '{"config": {"hal9:a": "x", "hal9:b": [1, 2.50, null]}}',
    "JSON with tabs": '{\n\t"config": {\n\t\t"hal9:a": "x"}}',
    "empty list": "config:\n  hal9:a: []\n",
    "empty map": "config:\n  hal9:a: {}\n",
    "nested": "config:\n  hal9:a: {z: 1, b: {y: 2.50, a: 1e3}, u: 'ü<>&'}\n",
    "nulls": "config:\n  hal9:a: {z: ~, b: [~]}\n",
    "text over lines": "config:\n  hal9:a: x\n    y\n",
    "quoted over lines": "config:\n  hal9:a: 'a\n\n    b'\n",
    "folded": "config:\n  hal9:a: >-\n    x\n    y\n",
    "literal": "config:\n  hal9:a: |+\n    x\n\n",
    "a colon and a space": "config:\n  hal9:a: b: c\n",
    "a question's key": "config:\n  ? hal9:a\n  : 1\n",
    "a pair in a list": "config:\n  hal9:a: [b: 1]\n",
    "a flow without a space": "config:\n  hal9:a: {b:c}\n",
    "a flow beside quotes": 'config:\n  hal9:a: {"b":c}\n',
    "a comma at the end": "config:\n  hal9:a: [1,]\n",
    "two commas": "config:\n  hal9:a: [1,,2]\n",
    "comments": "config:\n  hal9:a: 1 # x\n  hal9:b: x#y\n",
    "other keys": "encryptionsalt: v1:x\nenvironment: [a]\nconfig:\n  hal9:a: 1\n",
    "Config": "Config:\n  hal9:a: 1\n",
    "a nested day": "config:\n  hal9:a: {b: {c: 2027-01-01}}\n",
    "a set": "config:\n  hal9:a: !!set {a, b}\n",
    "pairs": "config:\n  hal9:a: !!omap [a: 1]\n",
    "an unquoted date in a list": "config:\n  hal9:a: [2027-1-3]\n",
    "no end": "config:\n  hal9:a: [1, 2\n",
    "no quote": "config:\n  hal9:a: 'x\n",
    "600 lists": f"config:\n  hal9:a: {'[' * 600}{']' * 600}\n",
    "12000 lists": f"config:\n  hal9:a: {'[' * 12000}{']' * 12000}\n",
    "600 maps": "config:\n  hal9:a:\n" + "\n".join(f"{' ' * (3 + i)}k:" for i in range(600)) + " 1\n",
    "40 lists": f"config:\n  hal9:a: {'[' * 40}{']' * 40}\n",
    "a billion laughs": "config:\n  hal9:a: &a0 [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"  hal9:a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)),
    "deep by aliases": "config:\n  hal9:a: &a0 [x]\n"
    + "".join(f"  hal9:a{i}: &a{i} [[[[[[[[[[*a{i - 1}]]]]]]]]]]\n" for i in range(1, 9)),
    "5000 digits": f"config:\n  hal9:a: {'9' * 5000}\n",
    "5000 digits in a list": f"config:\n  hal9:a: [{'9' * 5000}]\n",
    "a long key": f"config:\n  hal9:{'k' * 2000}: 1\n",
    "a megabyte": f"config:\n  hal9:a: {'x' * 2**20}\n",
    "many keys": "config:\n" + "".join(f"  hal9:k{i}: 1\n" for i in range(9000)),
    "more values than there may be": "config:\n  hal9:a:\n" + "  - 1\n" * 30000,
}
"""Whole files by what is odd about them."""

BYTES: dict[str, bytes] = {
    "UTF-16": "config:\n  hal9:a: ü\n".encode("utf-16"),
    "Latin-1": "config:\n  hal9:a: ü\n".encode("latin-1"),
    "no text": b"\0\1\2",
    "half a character": b"config:\n  hal9:a: \xc3",
    "a surrogate in UTF-8": b"config:\n  hal9:a: \xed\xa0\x80\n",
}
"""Files that are no UTF-8."""


def files() -> dict[str, bytes]:
    """Every trap by name: the files, and each value at the top, in a list and in a map."""
    found = {name: text.encode() for name, text in DOCUMENTS.items()} | BYTES
    for value in VALUES.split():
        written = _tagged(value)
        for place, text in (("{}", written), ("in a list: {}", f"[{written}]"), ("in a map: {}", f"{{b: {written}}}")):
            found[place.format(value)] = f"config:\n  hal9:a: {text}\n".encode()
    return found


def _tagged(value: str) -> str:
    """`!!int!3` as `!!int 3`."""
    if not value.startswith("!"):
        return value
    tag, _, rest = value.lstrip("!").partition("!")
    return f"{'!' * (len(value) - len(value.lstrip('!')))}{tag} {rest}"
