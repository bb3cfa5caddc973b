#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The manual pages say what the programs do: no more, no less, and in clean mdoc(7).

The API page is held against the XML under data/dbus-1 and the error table of the bus floor, the
configuration's page against the table of keys in core/config.c, and the options against what each
program's --help prints.

usage: test-man.py SOURCE-ROOT BUILD-ROOT
"""

import glob
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

sys.dont_write_bytecode = True
from tap import Tap  # noqa: E402

PROGRAMS = {
    'holdfastd': 'holdfastd.8',
    'holdfast-parentd': 'holdfast-parentd.8',
    'holdfastctl': 'holdfastctl.1',
}
API_PAGE = 'org.holdfast1.5'
CONFIG_PAGE = 'holdfastd.conf.5'
PAGES = sorted(list(PROGRAMS.values()) + [API_PAGE, CONFIG_PAGE])


def read(*path):
    with open(os.path.join(*path), encoding='utf-8') as f:
        return f.read()


# ---- the pages as mdoc ----

def is_noise(line):
    """What mandoc says of the machine, and of other packages' pages that it has not."""
    return ('outdated mandoc.db' in line
            or ('referenced manual not found' in line and 'holdfast' not in line))


def lint(man, page):
    """Runs beside the pages, where mandoc(1) finds those that refer to each other."""
    out = subprocess.run(['mandoc', '-T', 'lint', '-W', 'all', page], cwd=man,
                         capture_output=True, text=True)
    return [line for line in (out.stdout + out.stderr).splitlines() if not is_noise(line)]


def groff_warnings(man, page):
    out = subprocess.run(['man', '--warnings', '-E', 'UTF-8', '-l', '-Tutf8', '-Z', page], cwd=man,
                         capture_output=True, text=True, env=dict(os.environ, LC_ALL='C.UTF-8'))
    problems = out.stderr.splitlines()
    return problems if out.returncode == 0 or problems else [f'exit status {out.returncode}']


def check_syntax(tap, man):
    for page in PAGES:
        name = f'{page} is clean'
        if not os.path.exists(os.path.join(man, page)):
            tap.point(name, [f'man/{page} is missing'])
        elif not shutil.which('mandoc'):
            tap.point(name, [], skip='mandoc is not installed')
        else:
            has_man = shutil.which('man') and shutil.which('groff')
            tap.point(name, lint(man, page) + (groff_warnings(man, page) if has_man else []))


# ---- the API ----

def parse_args(element, direction):
    return [(arg.get('type'), arg.get('name', '')) for arg in element.findall('arg')
            if arg.get('direction', direction) == direction]


def xml_members(root):
    """(interface, kind, name) -> signature as the page writes it, from the introspection data."""
    members = {}
    for path in sorted(glob.glob(os.path.join(root, 'data', 'dbus-1', 'org.holdfast1.*.xml'))):
        for interface in ElementTree.parse(path).getroot().iter('interface'):
            name = interface.get('name')
            if not name.startswith('org.holdfast1.'):
                continue
            short = name.rsplit('.', 1)[1]
            for element in interface.findall('method'):
                members[short, 'Methods', element.get('name')] = signature(
                    parse_args(element, 'in'), parse_args(element, 'out'))
            for element in interface.findall('signal'):
                args = [(a.get('type'), a.get('name', '')) for a in element.findall('arg')]
                members[short, 'Signals', element.get('name')] = signature(args, [])
            for element in interface.findall('property'):
                members[short, 'Properties', element.get('name')] = f"({element.get('type')})"
    return members


def signature(args, results):
    def words(pairs):
        return ', '.join(f'{kind} {name}'.strip() for kind, name in pairs)

    text = f'({words(args)})'
    if len(results) == 1:
        text += f' -> {words(results)}'
    elif results:
        text += f' -> ({words(results)})'
    return text


def page_members(page):
    """(interface, kind, name) -> (signature, text of the item), from the page's lists."""
    members = {}
    section = item = None
    for line in page.splitlines():
        heading = re.match(r'\.Ss (Methods|Properties|Signals) of (\w+)$', line)
        found = re.match(r'\.It (?:Ic|Va) (\w+) Ns (\(.*)$', line)
        if heading:
            section = heading.group(2), heading.group(1)
        elif line.startswith(('.Sh', '.Ss')):
            section = item = None
        elif found and section:
            item = (*section, found.group(1))
            members[item] = [found.group(2).replace(r'\(->', '->'), '']
        elif item:
            members[item][1] += line + '\n'
    return members


def plain(text):
    return text.replace(r'\-', '-').replace(r'\(aq', "'")


def has_busctl_line(member, types, text):
    """Whether the item shows a command that does what it says, with arguments of these types."""
    interface, kind, name = member
    full = f'org.holdfast1.{interface}'
    wanted = {
        'Methods': f'busctl --user call org.holdfast1 /org/holdfast1 {full} {name}'
                   + (f' {types} ' if types else ''),
        'Properties': f'busctl --user get-property org.holdfast1 /org/holdfast1 {full} {name}',
        'Signals': f'busctl --user monitor --match=member={name} ',
    }[kind]
    return any((line + ' ').startswith('$ ' + wanted) for line in plain(text).splitlines())


def in_types(sig):
    """The types of a signature's arguments: "(s key, t n) -> …" is "st"."""
    args = sig[1:sig.rindex(')')] if '->' not in sig else sig[1:sig.index(') ->')]
    return ''.join(arg.split()[0] for arg in args.split(', ') if arg)


def check_api(tap, root, page):
    want, have = xml_members(root), page_members(page)
    tap.point('there is introspection data', [] if want else ['no XML under data/dbus-1'])
    tap.point('the API page has every member, and no other',
              [f'missing: {" ".join(m)}' for m in sorted(want.keys() - have.keys())]
              + [f'unknown: {" ".join(m)}' for m in sorted(have.keys() - want.keys())])
    tap.point('each with its signature',
              [f'{" ".join(m)}: {have[m][0]}, but it is {want[m]}'
               for m in sorted(want.keys() & have.keys()) if want[m] != have[m][0]])
    tap.point('each with a busctl line',
              [' '.join(m) for m, (sig, text) in sorted(have.items())
               if not has_busctl_line(m, in_types(sig) if m[1] == 'Methods' else '', text)])
    check_mentions(tap, want, page)
    check_errors(tap, root, page)


def check_mentions(tap, want, page):
    """A member named anywhere in the page, be it in a command, must exist."""
    names = {name for _, _, name in want}
    named = set(re.findall(r'^\.Ic ([A-Z]\w+)', page, re.M))
    named |= set(re.findall(r'org\.holdfast1\.(?:Storage|Direct|Monitor|Manager) (\w+)',
                            plain(page)))
    tap.point('the API page names no member that is not there', sorted(named - names))


def error_names(root):
    """The names of the one table from errors to D-Bus."""
    table = read(root, 'src', 'bus', 'bus-error.c')
    names = {f'org.holdfast1.Error.{n}' for n in re.findall(r'BUS_ERROR_PREFIX "(\w+)"', table)}
    names |= {f'org.freedesktop.DBus.Error.{n}'
              for n in re.findall(r'BUS_STD_ERROR_PREFIX "(\w+)"', table)}
    return names


def check_errors(tap, root, page):
    items = dict(re.findall(r'^\.It Er (\S+)\n(.*?)(?=^\.It|^\.El)', page, re.M | re.S))
    want = error_names(root)
    tap.point('the API page has every error, and no other',
              [f'missing: {name}' for name in sorted(want - items.keys())]
              + [f'unknown: {name}' for name in sorted(items.keys() - want)])
    tap.point('each error with a busctl line',
              [name for name, text in sorted(items.items()) if '\n$ busctl ' not in text])


# ---- the configuration ----

UNITS = {'MSEC': 10 ** 3, 'SEC': 10 ** 6, 'MIB': 2 ** 20}


def c_default(expression):
    """A default of config_init() as a number or a word."""
    if expression is None:
        return ''
    word = re.fullmatch(r'CONFIG_(?:OVERFLOW|DURABILITY)_(\w+)', expression)
    if word:
        return word.group(1).lower().replace('_', '-')
    if expression in ('true', 'false'):
        return 'yes' if expression == 'true' else 'no'
    product = 1
    for factor in expression.split('*'):
        product *= UNITS[factor.strip()] if factor.strip() in UNITS else int(factor)
    return product


def page_default(text):
    """A default of the page, in the same form."""
    number = re.fullmatch(r'(\d+)(ms|s|K|M|G)?', text)
    if not number:
        return text
    scale = {None: 1, 'ms': 10 ** 3, 's': 10 ** 6, 'K': 2 ** 10, 'M': 2 ** 20, 'G': 2 ** 30}
    return int(number.group(1)) * scale[number.group(2)]


def code_keys(root):
    """(section, key) -> default, from the table of keys and config_init()."""
    code = read(root, 'src', 'core', 'config.c')
    init = re.search(r'^void config_init\(.*?^}', code, re.M | re.S).group(0)
    area = re.search(r'\.area = \{(.*?)\}', init, re.S).group(1)
    defaults = dict(re.findall(r'\.(\w+) = ([^,{]+),', init.replace(area, '')))
    defaults |= {f'area.{k}': v for k, v in re.findall(r'\.(\w+) = ([^,{]+),', area)}
    return {(section, key): c_default(defaults.get(member)) for section, key, member
            in re.findall(r'FIELD\("(\w+)", "(\w+)", \w+, ([\w.]+),', code)}


def page_keys(page):
    keys = {}
    section = None
    for line in page.splitlines():
        heading = re.match(r'\.Ss Section (\w+)$', line)
        item = re.match(r'\.It Cm (\w+) Ns =(.*)$', line)
        if heading:
            section = heading.group(1)
        elif item:
            keys[section, item.group(1)] = item.group(2)
    return keys


def file_keys(path):
    """The keys of an example file, where a default stands behind a comment sign. What an
    [Area NAME] section shows is an example, not a default."""
    keys = {}
    section = None
    for line in read(path).splitlines():
        heading = re.match(r'#?\[(.*)\]$', line)
        item = re.match(r'#?(\w+)=(.*)$', line)
        if heading:
            section = None if heading.group(1).startswith('Area ') else heading.group(1)
        elif item and section:
            keys[section, item.group(1)] = item.group(2)
    return keys


def check_config(tap, root, page):
    want, have = code_keys(root), page_keys(page)
    tap.point('the table of keys can be read', [] if len(want) > 20 else [f'{len(want)} keys'])
    tap.point('the configuration page has every key, and no other',
              [f'missing: {" ".join(k)}' for k in sorted(want.keys() - have.keys())]
              + [f'unknown: {" ".join(k)}' for k in sorted(have.keys() - want.keys())])
    # The parent's address depends on where the daemon runs: the code has no constant for it.
    tap.point('each key with its default',
              [f'{" ".join(k)}: {have[k]}, but it is {want[k]}'
               for k in sorted(want.keys() & have.keys())
               if page_default(have[k]) != want[k] and k != ('Parent', 'Address')])
    shipped = os.path.join(root, 'data', 'config', 'holdfastd.conf')
    if os.path.exists(shipped):
        given = file_keys(shipped)
        tap.point('the shipped file shows keys that exist, with their defaults',
                  [' '.join(k) for k in sorted(given) if k not in have
                   or (page_default(given[k]) != page_default(have[k])
                       and k != ('Parent', 'Address'))])


# ---- options ----

def help_options(build, program):
    out = subprocess.run([os.path.join(build, 'src', program, program), '--help'],
                         capture_output=True, text=True, timeout=20, check=True)
    return set(re.findall(r'(?<![\w-])--([a-z][a-z-]*)', out.stdout))


def page_options(page):
    return {option for line in page.splitlines() if line.startswith('.')
            for option in re.findall(r'\bFl -([a-z][a-z-]*)', line)}


def listed_options(page):
    """Options that have an entry of their own, not only a mention."""
    return {option for line in page.splitlines() if line.startswith('.It Fl')
            for option in re.findall(r'\bFl -([a-z][a-z-]*)', line)}


def check_options(tap, root, build):
    for program, name in sorted(PROGRAMS.items()):
        try:
            want = help_options(build, program)
            page = read(root, 'man', name)
        except (OSError, subprocess.SubprocessError) as error:
            tap.point(f'{name} has the options of {program} --help', [str(error)])
            continue
        tap.point(f'{name} has the options of {program} --help',
                  [f'not explained: --{o}' for o in sorted(want - listed_options(page))]
                  + [f'not in --help: --{o}' for o in sorted(page_options(page) - want)])


def main():
    root, build = sys.argv[1:]
    man = os.path.join(root, 'man')
    tap = Tap()
    check_syntax(tap, man)
    check_api(tap, root, read(man, API_PAGE))
    check_config(tap, root, read(man, CONFIG_PAGE))
    check_options(tap, root, build)
    return tap.finish()


if __name__ == '__main__':
    sys.exit(main())
