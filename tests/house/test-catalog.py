#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The message catalogue says what the log sends: no more, no less, and journalctl(1) takes it.

Held against each other: the ids of base/log-message.h, the places that log them, the catalogue. What
a running daemon really sends is compared with the catalogue by tests/bus/test_service.py.

usage: test-catalog.py SOURCE-ROOT BUILD-ROOT
"""

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
from tap import Tap  # noqa: E402

CATALOG = 'data/systemd/holdfast.catalog'
HEADERS = ['Subject', 'Defined-By', 'Support']


def read(*path):
    with open(os.path.join(*path), encoding='utf-8') as f:
        return f.read()


def declared(root):
    """name -> (id, the fields its comment promises)."""
    text = read(root, 'src/base/log-message.h')
    found = {}
    fields = []
    for comment, name, ident in re.findall(
            r'/\*((?:(?!\*/).)*)\*/\n#define (LOG_MESSAGE_\w+)\s+"([0-9a-f]{32})"', text, re.S):
        if 'The same fields' not in comment:
            fields = re.findall(r'\bHOLDFAST_[A-Z_]+', comment)
        found[name] = ident, set(fields)
    return found, len(re.findall(r'#define LOG_MESSAGE_', text))


def sources(root):
    return {path: read(path) for path in glob.glob(os.path.join(root, 'src', '*', '*.c'))}


def entries(text):
    """id -> (headers, body) of the catalogue."""
    found = {}
    for ident, entry in re.findall(r'^-- (\S+)\n(.*?)(?=^-- |\Z)', text, re.M | re.S):
        head, _, body = entry.partition('\n\n')
        found[ident] = dict(line.split(': ', 1) for line in head.splitlines()), body.strip()
    return found


def check_ids(ids, catalog):
    known = {ident for ident, _ in ids.values()}
    return ([f'{name} has no entry' for name, (ident, _) in ids.items() if ident not in catalog]
            + [f'{ident} is in the catalogue alone' for ident in catalog if ident not in known])


def check_use(ids, files):
    """Every id is logged somewhere, and the file that does sends the fields that it promises."""
    problems = []
    for name, (_, fields) in ids.items():
        users = [text for text in files.values() if re.search(rf'\b{name}\b', text)]
        sent = {f for text in users for f in re.findall(r'"(HOLDFAST_[A-Z_]+)"', text)}
        if not users:
            problems.append(f'{name} is logged nowhere')
        problems += [f'{name}: {field} is not sent' for field in sorted(fields - sent)]
    return problems


def check_fields(ids, catalog):
    problems = []
    for name, (ident, fields) in ids.items():
        headers, body = catalog.get(ident, ({}, ''))
        used = set(re.findall(r'@([^@\s]+)@', headers.get('Subject', '') + body))
        problems += [f'{name}: @{field}@ is not one of its fields' for field in used - fields]
    return problems


def check_form(catalog):
    problems = []
    for ident, (headers, body) in catalog.items():
        if list(headers) != HEADERS:
            problems.append(f'{ident} has {list(headers)}, not {HEADERS}')
        if headers.get('Subject', '').endswith('.') or len(body) < 40:
            problems.append(f'{ident}: a subject without a stop, and a body that explains it')
    return problems


def journalctl(directory, *args):
    return subprocess.run(['journalctl', '--root', directory, *args], capture_output=True,
                          text=True, env=dict(os.environ, LC_ALL='C.UTF-8'))


def check_journalctl(root, catalog):
    """Compiled by systemd itself, every entry comes out as it went in."""
    with tempfile.TemporaryDirectory(prefix='hf-catalog-') as directory:
        place = os.path.join(directory, 'usr/lib/systemd/catalog')
        os.makedirs(place)
        os.makedirs(os.path.join(directory, 'var/lib/systemd/catalog'))
        shutil.copy(os.path.join(root, CATALOG), place)
        done = journalctl(directory, '--update-catalog')
        problems = done.stderr.splitlines() if done.returncode or done.stderr else []
        dump = journalctl(directory, '--dump-catalog')
        got = entries(dump.stdout)
    problems += dump.stderr.splitlines() if dump.returncode else []
    return problems + [f'{ident} does not come out as it went in' for ident in catalog
                       if got.get(ident) != catalog[ident]]


def main():
    root = sys.argv[1]
    tap = Tap()
    text = read(root, CATALOG)
    catalog = entries(text)
    ids, defines = declared(root)

    tap.point('every id is declared once, with a comment',
              [] if len(ids) == defines == len({i for i, _ in ids.values()})
              else [f'{len(ids)} of {defines} could be read'])
    tap.point('every entry stands in the catalogue once',
              [] if text.count('\n-- ') == len(catalog) else ['an id stands there twice'])
    tap.point('every id has an entry, and every entry an id', check_ids(ids, catalog))
    tap.point('every id is logged, with its fields', check_use(ids, sources(root)))
    tap.point('the catalogue names only fields that are sent', check_fields(ids, catalog))
    tap.point('every entry has its headers and explains itself', check_form(catalog))
    if shutil.which('journalctl'):
        tap.point('journalctl takes the catalogue', check_journalctl(root, catalog))
    else:
        tap.point('journalctl takes the catalogue', [], skip='journalctl is not installed')
    return tap.finish()


if __name__ == '__main__':
    sys.exit(main())
