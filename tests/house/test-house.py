#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The house rules of the source tree, as a test: who may know whom, and how long things are.

A module is one noun, one .c/.h pair; where a noun needs several .c files, what they share stands in
its private header, NOUN-inner.h. A module may know modules of its own floor, if that makes no cycle,
and of lower floors. What a file includes is read from the source; what it calls is read from its
object file with nm(1), so a prototype written by hand cannot hide a call.

usage: test-house.py SOURCE-ROOT BUILD-ROOT
"""

import collections
import os
import re
import statistics
import subprocess
import sys

sys.dont_write_bytecode = True
from tap import Tap  # noqa: E402

# What each floor may know besides itself.
FLOORS = {
    'base': [],
    'core': ['base'],
    'wire': ['base', 'core'],
    'store': ['base', 'core'],
    'parent': ['base', 'core', 'wire', 'store'],
    'engine': ['base', 'core', 'wire', 'store', 'parent'],
    'bus': ['base', 'core', 'wire', 'store', 'parent', 'engine'],
    'holdfastd': ['base', 'core', 'wire', 'store', 'parent', 'engine', 'bus'],
    'holdfast-parentd': ['base', 'core', 'wire'],
    'holdfastctl': ['base', 'core', 'wire'],
}

PROGRAMS = {'holdfastd', 'holdfast-parentd', 'holdfastctl'}

TOP_LEVEL = {'src', 'data', 'tests', 'man', 'meson.build', 'meson_options.txt', 'README.md',
             'COPYING'}

# core/ decides and does nothing else: no clock, no file, no socket, no timer, no thread, no log.
IMPURE = re.compile(r'^(log_write|timer_.*|clock_.*|worker_.*|time|gettimeofday|clock_gettime|'
                    r'nanosleep|usleep|open(at)?(64)?|fopen(64)?|read|write|f?printf|puts|'
                    r'sync|f(data)?sync|socket|connect|sendto|recv|poll|getenv|'
                    r'g_get_(monotonic|real)_time|g_date_time_new_now.*|g_(timeout|idle)_.*|'
                    r'g_source_.*|g_main_.*|g_thread_.*|g_file_.*|g_random_.*|g_print.*|g_log)$')

MAX_FUNCTION = 60    # lines of a body
MAX_FILE = 600       # lines


def sources(root):
    """Every .c and .h under src, as (floor, module, path relative to src)."""
    for folder, _, names in sorted(os.walk(os.path.join(root, 'src'))):
        for name in sorted(names):
            if name.endswith(('.c', '.h')):
                path = os.path.relpath(os.path.join(folder, name), os.path.join(root, 'src'))
                yield path.split(os.sep)[0], module_of(path), path


def module_of(path):
    """src/engine/area.c, area.h and area-inner.h are all the module engine/area."""
    return path[:-2].removesuffix('-inner')


def read(root, path):
    with open(os.path.join(root, 'src', path), encoding='utf-8') as f:
        return f.read()


def include_graph(root):
    """Edges between modules by #include "…", and what is wrong with single includes."""
    graph = collections.defaultdict(set)
    problems = []
    for floor, module, path in sources(root):
        graph[module]
        for name in re.findall(r'^\s*#\s*include\s*"([^"]+)"', read(root, path), re.M):
            target = name if '/' in name else f'{floor}/{name}'
            if not os.path.exists(os.path.join(root, 'src', target)):
                problems.append(f'{path}: "{name}" is neither a path below src nor a neighbour')
            elif module_of(target) != module:
                graph[module].add(module_of(target))
    return graph, problems


def objects(root, build):
    """Every object file of a source that still exists, as (module, path)."""
    for folder, _, names in sorted(os.walk(os.path.join(build, 'src'))):
        floor = os.path.relpath(folder, os.path.join(build, 'src')).split(os.sep)[0]
        for name in sorted(names):
            module = f'{floor}/{name[:-4]}'
            if name.endswith('.c.o') and os.path.exists(os.path.join(root, 'src', module + '.c')):
                yield module, os.path.join(folder, name)


def symbols(path):
    """The global symbols that an object file defines, and those it wants."""
    out = subprocess.run(['nm', '-P', '-g', path], check=True, capture_output=True, text=True)
    defined, wanted = set(), set()
    for line in out.stdout.splitlines():
        name, kind = line.split()[:2]
        (wanted if kind in 'Uw' else defined).add(name)
    return defined, wanted


def call_graph(root, build):
    """Edges between modules by symbols, and what each module wants."""
    wants = {}
    definers = collections.defaultdict(set)
    for module, path in objects(root, build):
        defined, wants[module] = symbols(path)
        for name in defined - {'main'}:
            definers[name].add(module)

    graph = collections.defaultdict(set)
    for module, names in wants.items():
        graph[module]
        for name in names:
            own = {m for m in definers[name] if floor_of(m) == floor_of(module)}
            # Programs are linked apart: a symbol of one is never what another floor means.
            others = {m for m in definers[name] if floor_of(m) not in PROGRAMS}
            graph[module] |= (own or others) - {module}
    return graph, wants


def floor_of(module):
    return module.split('/')[0]


def upward(graph):
    return [f'{a} -> {b}' for a in sorted(graph) for b in sorted(graph[a])
            if floor_of(b) != floor_of(a) and floor_of(b) not in FLOORS.get(floor_of(a), [])]


def cycles(graph):
    """Tarjan's strongly connected components that have more than one member."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in sorted(graph.get(node, ())):
            if target not in index:
                visit(target)
            if target in stack:
                low[node] = min(low[node], low[target])
        if low[node] == index[node]:
            knot = []
            while not knot or knot[-1] != node:
                knot.append(stack.pop())
            if len(knot) > 1:
                found.append(knot)

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return [describe_knot(graph, knot) for knot in found]


def describe_knot(graph, knot):
    edges = [f'{a} -> {b}' for a in sorted(knot) for b in sorted(graph[a]) if b in knot]
    return 'knot: ' + ', '.join(edges)


def check_floors(root):
    return [f'{path}: {floor} is not a floor' for floor, _, path in sources(root)
            if floor not in FLOORS]


def check_json(root):
    """Only the wire parses JSON; one file of holdfastctl prints it."""
    return [path for floor, _, path in sources(root)
            if re.search(r'#\s*include\s*<json-glib/', read(root, path))
            and floor != 'wire' and path != 'holdfastctl/output.c']


def check_pure(wants):
    problems = []
    for module in sorted(wants):
        bad = sorted(name for name in wants[module] if IMPURE.match(name))
        if floor_of(module) == 'core' and bad:
            problems.append(f'{module} uses {", ".join(bad)}')
        elif floor_of(module) in ('wire', 'store') and 'log_write' in wants[module]:
            problems.append(f'{module} logs')
    return problems


def check_top_level(root):
    problems = []
    for name in sorted(os.listdir(root)):
        # What .gitignore leaves out is not ours: build directories.
        if name.startswith(('.', 'build')) or name in TOP_LEVEL:
            continue
        problems.append(f'{name} does not belong at the top level')
    return problems


def check_licence(root):
    return [path for _, _, path in sources(root)
            if not read(root, path).startswith('/* SPDX-License-Identifier: LGPL-2.1-or-later */')]


def function_lengths(root):
    """(length, name, path) of every function: in kernel style its braces stand in column 0."""
    lengths = []
    for _, _, path in sources(root):
        lines = read(root, path).splitlines()
        start = None
        for i, line in enumerate(lines):
            if line == '{':
                start = i
            elif line == '}' and start is not None:
                lengths.append((i - start - 1, function_name(lines, start), path))
                start = None
    return sorted(lengths)


def function_name(lines, brace):
    for line in reversed(lines[:brace]):
        match = re.match(r'^[A-Za-z_].*?(\w+)\(', line)
        if match:
            return match.group(1)
    return '?'


def comment_share(root):
    comments = total = 0
    for _, _, path in sources(root):
        text = read(root, path)
        total += sum(1 for line in text.splitlines() if line.strip())
        for block in re.findall(r'/\*.*?\*/', text, re.S):
            comments += sum(1 for line in block.splitlines() if line.strip())
    return 100 * comments / total


def check_lengths(root):
    lengths = function_lengths(root)
    plain = [n for n, _, _ in lengths]
    longest = ', '.join(f'{name} {n}' for n, name, _ in lengths[:-4:-1])
    print(f'# {len(plain)} functions: median {statistics.median(plain):g} lines, '
          f'p90 {plain[int(len(plain) * 0.9)]}, max {plain[-1]} ({longest})')
    print(f'# comments: {comment_share(root):.0f} % of the lines that are not blank')

    problems = [f'{path}: {name}() has {n} lines' for n, name, path in lengths if n > MAX_FUNCTION]
    sizes = [(len(read(root, path).splitlines()), path) for _, _, path in sources(root)]
    print(f'# {len(sizes)} files, {sum(n for n, _ in sizes)} lines, longest {max(sizes)}')
    return problems + [f'{path} has {n} lines' for n, path in sizes if n > MAX_FILE]


def check_every_object(root, wants):
    """Without an object of each source the call graph would say nothing."""
    have = set(wants)
    return [f'{path} was not compiled' for _, module, path in sources(root)
            if path.endswith('.c') and module not in have]


def main():
    root, build = sys.argv[1:]
    tap = Tap()
    sys.setrecursionlimit(10000)

    includes, bad_includes = include_graph(root)
    calls, wants = call_graph(root, build)
    tap.point('every directory of src is a floor', check_floors(root))
    tap.point('includes name files below src', bad_includes)
    tap.point('no include goes up', upward(includes))
    tap.point('no cycle of includes between modules', cycles(includes))
    tap.point('every source has an object', check_every_object(root, wants))
    tap.point('no call goes up', upward(calls))
    tap.point('no cycle of calls between modules', cycles(calls))
    tap.point('core is pure; core, wire and store do not log', check_pure(wants))
    tap.point('only the wire and holdfastctl/output.c use json-glib', check_json(root))
    tap.point('the top level holds what it should', check_top_level(root))
    tap.point('every source begins with its licence', check_licence(root))
    tap.point('functions and files are short', check_lengths(root))
    return tap.finish()


if __name__ == '__main__':
    sys.exit(main())
