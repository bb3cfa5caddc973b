# SPDX-License-Identifier: LGPL-2.1-or-later
"""Arguments nobody should pass, and some that one may: of the right types and of any."""

from gi.repository import GLib

from rawclient import dict_of

MIB = 1 << 20

# Texts at and around what a key may be.
KEYS = ['', 'a', 'k' * 512, 'k' * 513, '\u00e9' * 256, '\u00e9' * 256 + 'x', 'x' + '\u00e9' * 256,
        '\U0001f512' * 128, '\U0001f512' * 128 + 'k', 'a\x01b', '\x1f', 'tab\there', 'line\n',
        '\x7f', '\x80', '\x9f', '\xa0', '\u202e', '\ufeff', '\ufffd', ' ', '/', '..', '\ufffe',
        '\uffff', 'a\ufdd0', '\U0010ffff', '\ud7ff\ue000',
        '%s%n', "';DROP TABLE items;--", '"', '\\', 'k' * 5000, 'hostile', 'hostile/2', 'hostile/3']
# Lengths of values; the rest of them is short.
LENGTHS = [0, 1, 511, 512, 4096, 65536, MIB - 1, MIB, MIB + 1, 2 * MIB]
NUMBERS = [0, 1, 2, 999, 1000, 1001, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53,
           2 ** 53 + 1, 2 ** 63 - 1, 2 ** 63, 2 ** 64 - 2, 2 ** 64 - 1]
AREAS = ['', '.', '..', '.hidden', 'a/b', 'a b', 'org.example.App', 'x' * 255, 'x' * 256, '-', '_',
         '0', '\u00e9', 'a\n', 'default', 'fuzz-1', 'fuzz-2', 'fuzz-3', '0/default', '1000/x']
BASIC = 'ybnqiuxtdsog'
EXTREMES = {'y': (0, 255), 'n': (-2 ** 15, 2 ** 15 - 1), 'q': (0, 2 ** 16 - 1),
            'i': (-2 ** 31, 2 ** 31 - 1), 'u': (0, 2 ** 32 - 1), 'x': (-2 ** 63, 2 ** 63 - 1),
            't': (0, 2 ** 64 - 1), 'd': (float('inf'), float('nan'))}


def key_is_valid(key):
    """As the contract has it, written down once more."""
    return 1 <= len(key.encode()) <= 512 and not any(
        ord(c) < 0x20 or 0x7f <= ord(c) <= 0x9f for c in key)


def is_carried(text):
    """Whether sd-bus takes it: no noncharacter is in it."""
    return not any(0xfdd0 <= ord(c) <= 0xfdef or ord(c) & 0xfffe == 0xfffe for c in text)


def option_is_valid(name, value):
    """Whether GetItemFull takes it."""
    if name == 'source':
        return value.get_type_string() == 's' and value.unpack() in ('any', 'parent', 'local')
    return name == 'timeout' and value.get_type_string() == 't'


class Arguments:
    """A source of arguments; @rng decides."""

    def __init__(self, rng, large=0.02):
        self.rng = rng
        self.large = large      # how many of the values are of the longest kinds

    def key(self):
        return self.rng.choice(KEYS) if self.rng.random() < 0.7 else 'hostile/%d' % (
            self.rng.randrange(200))

    def value(self):
        if self.rng.random() < self.large:
            return self.rng.choice('v\u00e9') * self.rng.choice(LENGTHS)
        return self.rng.choice(KEYS) * self.rng.randrange(4)

    def number(self):
        if self.rng.random() < 0.5:
            return self.rng.choice(NUMBERS)
        return self.rng.randrange(5000)

    def keys(self):
        n = self.rng.choice([0, 1, 2, 3, 10, 1000, 1001])
        if n >= 1000:
            return ['hostile/%d' % self.rng.randrange(2000) for _ in range(n)]
        return [self.key() for _ in range(n)]

    def items(self):
        """An a{ss}, keys in it perhaps twice."""
        n = self.rng.choice([0, 1, 2, 5, 5, 20] if self.rng.random() < 0.98 else [1000, 1001])
        text = GLib.Variant.new_string
        return dict_of('a{ss}', [(text(self.key() if n < 1000 else 'hostile/%d' % i),
                                  text(self.value() if n < 1000 else 'v')) for i in range(n)])

    def options(self):
        """An a{sv} of GetItemFull: known names with right and wrong values, and unknown ones."""
        rng, pairs = self.rng, []
        for _ in range(rng.choice([0, 0, 1, 1, 2, 5, 50])):
            name = rng.choice(['source', 'source', 'timeout', 'timeout', 'Source', '', 'x' * 300,
                               'stale', '\uffff', 'a\ufdd0'])
            value = rng.choice([
                lambda: GLib.Variant('s', rng.choice(['any', 'parent', 'local', 'cache', ''])),
                lambda: GLib.Variant('t', self.number()),
                lambda: self.of(rng.choice(BASIC))])()
            pairs.append((GLib.Variant.new_string(name), GLib.Variant.new_variant(value)))
        return dict_of('a{sv}', pairs)

    # ---- of any type ----

    def signature(self, depth=0):
        """A complete type."""
        rng = self.rng
        kind = rng.random()
        if depth > 4 or kind < 0.55:
            return rng.choice(BASIC)
        if kind < 0.7:
            return 'a' + self.signature(depth + 1)
        if kind < 0.8:
            return 'a{%s%s}' % (rng.choice(BASIC), self.signature(depth + 1))
        if kind < 0.9:
            return 'v'
        return '(%s)' % ''.join(self.signature(depth + 1) for _ in range(rng.randrange(1, 4)))

    def _basic(self, kind):
        rng = self.rng
        if kind == 'b':
            return GLib.Variant.new_boolean(rng.random() < 0.5)
        if kind == 's':
            return GLib.Variant.new_string(self.key())
        if kind == 'o':
            return GLib.Variant.new_object_path(rng.choice(['/', '/a', '/org/holdfast1/area/_']))
        if kind == 'g':
            return GLib.Variant.new_signature(rng.choice(['', 's', 'a{sv}', 'a' * 32 + 's']))
        return GLib.Variant(kind, rng.choice(EXTREMES[kind]))

    def of(self, signature):
        """A value of a complete type."""
        kind = signature[0]
        if kind in BASIC:
            return self._basic(kind)
        if kind == 'v':
            return GLib.Variant.new_variant(self.of(self.signature(3)))
        if kind == '(':
            return GLib.Variant.new_tuple(*[self.of(s) for s in split(signature[1:-1])])
        builder = GLib.VariantBuilder.new(GLib.VariantType.new(signature))
        for _ in range(self.rng.randrange(4)):
            if signature[1] == '{':
                key, value = split(signature[2:-1])
                builder.add_value(GLib.Variant.new_dict_entry(self.of(key), self.of(value)))
            else:
                builder.add_value(self.of(signature[1:]))
        return builder.end()

    def nested(self):
        """As deep as a message may go: 32 arrays, 32 structs, variants in variants."""
        kind = self.rng.randrange(3)
        if kind == 0:
            return GLib.VariantBuilder.new(GLib.VariantType.new('a' * 32 + 's')).end()
        value = GLib.Variant.new_string('deep')
        for _ in range(32 if kind == 1 else 60):
            value = (GLib.Variant.new_tuple(value) if kind == 1 else
                     GLib.Variant.new_variant(value))
        return value

    def any_body(self):
        """A body of any types."""
        if self.rng.random() < 0.05:
            return GLib.Variant.new_tuple(self.nested())
        body = GLib.Variant.new_tuple(*[self.of(self.signature())
                                        for _ in range(self.rng.randrange(5))])
        # Over 255 bytes of signature it is no message, and the bus hangs up.
        return body if len(body.get_type_string()) <= 257 else None

    def body(self, signature):
        """A body of the types a method takes; signature is one of those in calls.py."""
        makers = {'s': lambda: GLib.Variant.new_string(self.key()),
                  'V': lambda: GLib.Variant.new_string(self.value()),
                  'A': lambda: GLib.Variant.new_string(self.rng.choice(AREAS)),
                  't': lambda: GLib.Variant.new_uint64(self.number()),
                  'K': lambda: GLib.Variant('as', self.keys()), 'I': self.items,
                  'O': self.options}
        return GLib.Variant.new_tuple(*[makers[c]() for c in signature]) if signature else None


def split(signature):
    """The complete types that a signature consists of."""
    found, at = [], 0
    while at < len(signature):
        end = at
        while signature[end] == 'a':
            end += 1
        if signature[end] in '({':
            depth = 0
            while True:
                depth += {'(': 1, '{': 1, ')': -1, '}': -1}.get(signature[end], 0)
                if depth == 0:
                    break
                end += 1
        found.append(signature[at:end + 1])
        at = end + 1
    return found
