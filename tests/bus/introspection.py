#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The interfaces as shipped under data/dbus-1 are those the daemon has.

Compares the XML files with what `holdfastd --bus-introspect` prints. Order and white space do not
count; names, signatures, the order of arguments, directions and annotations do.

usage: introspection.py HOLDFASTD DATA-DIR            prints TAP
       introspection.py HOLDFASTD DATA-DIR --write    makes the files anew
"""

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

INTERFACES = ['Direct', 'Manager', 'Monitor', 'Storage']
DOCTYPE = ('<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"\n'
           '"https://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">\n')


def facts(element, path=''):
    """Everything an element says, as a sorted list of lines."""
    here = path + '/' + element.tag + ''.join(
        f' {k}={v}' for k, v in sorted(element.attrib.items()) if k != 'direction' or v == 'out')
    args = [child for child in element if child.tag == 'arg']
    lines = [here]
    for index, child in enumerate(args):
        lines += [f'{here}/{index}{line}' for line in facts(child)]
    for child in element:
        if child.tag != 'arg':
            lines += facts(child, here)
    return sorted(lines)


def daemon_interfaces(holdfastd):
    text = subprocess.run([holdfastd, '--bus-introspect'], check=True, timeout=60,
                          stdout=subprocess.PIPE).stdout.decode()
    return {e.get('name'): e for e in ElementTree.fromstring(text).iter('interface')}


def file_name(data, name):
    return os.path.join(data, f'org.holdfast1.{name}.xml')


def write(data, have):
    for name in INTERFACES:
        node = ElementTree.Element('node')
        node.append(have['org.holdfast1.' + name])
        ElementTree.indent(node, ' ')
        text = ElementTree.tostring(node, encoding='unicode')
        with open(file_name(data, name), 'w') as f:
            f.write('<!-- SPDX-License-Identifier: LGPL-2.1-or-later -->\n' + DOCTYPE + text + '\n')


def compare(data, have, name):
    root = ElementTree.parse(file_name(data, name)).getroot()
    shipped = list(root.iter('interface'))
    if [e.get('name') for e in shipped] != ['org.holdfast1.' + name]:
        return ['the file must hold this one interface']
    want, got = set(facts(shipped[0])), set(facts(have['org.holdfast1.' + name]))
    return ([f'only in the file: {line}' for line in sorted(want - got)] +
            [f'only in the daemon: {line}' for line in sorted(got - want)])


def main():
    holdfastd, data = sys.argv[1:3]
    have = daemon_interfaces(holdfastd)
    if '--write' in sys.argv[3:]:
        write(data, have)
        return 0

    ours = sorted(name for name in have if name.startswith('org.holdfast1.'))
    checks = [('the daemon has these interfaces and no others',
               [] if ours == ['org.holdfast1.' + n for n in INTERFACES] else ours)]
    checks += [(f'data/dbus-1/org.holdfast1.{name}.xml', compare(data, have, name))
               for name in INTERFACES]
    print(f'1..{len(checks)}')
    for number, (what, problems) in enumerate(checks, 1):
        print(f"{'not ok' if problems else 'ok'} {number} - {what}")
        for problem in problems:
            print('# ' + problem)
    return 1 if any(problems for _, problems in checks) else 0


if __name__ == '__main__':
    sys.exit(main())
