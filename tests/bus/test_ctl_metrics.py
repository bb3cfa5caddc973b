#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""holdfastctl metrics, and holdfastctl as callers see it who may not do everything.

The daemon here is a stand-in on the bus that says what a test wants to hear: metrics of every type,
and "access denied", which a test cannot get from the real one without a sandbox.
"""

import resource
import signal
import stat
import subprocess

from gi.repository import Gio

from harness import *

METRICS = '''# HELP holdfast_parent_state State of the line.
# TYPE holdfast_parent_state stateset
holdfast_parent_state{holdfast_parent_state="connected"} 1
holdfast_parent_state{holdfast_parent_state="disconnected"} 0
# HELP holdfast_pings Pings sent.
# TYPE holdfast_pings counter
holdfast_pings_total 12
# HELP holdfast_round_trip_seconds Round trips.
# TYPE holdfast_round_trip_seconds histogram
# UNIT holdfast_round_trip_seconds seconds
holdfast_round_trip_seconds_bucket{le="0.1"} 3
holdfast_round_trip_seconds_bucket{le="+Inf"} 3
holdfast_round_trip_seconds_sum 0.2
holdfast_round_trip_seconds_count 3
# EOF
'''

XML = '''<node>
<interface name="org.holdfast1.Manager">
 <method name="GetMetrics"><arg type="s" direction="out"/></method>
 <method name="ListAreas"><arg type="as" direction="out"/></method>
 <method name="OpenArea"><arg type="s" direction="in"/><arg type="o" direction="out"/></method>
 <property name="Version" type="s" access="read"/>
</interface>
<interface name="org.freedesktop.DBus.Properties">
 <method name="GetAll"><arg type="s" direction="in"/><arg type="a{sv}" direction="out"/></method>
</interface>
<interface name="org.holdfast1.Monitor">
 <method name="GetStats"><arg type="a{sv}" direction="out"/></method>
</interface>
<interface name="org.holdfast1.Storage">
 <method name="ListRejected"><arg type="a(tssst)" direction="out"/></method>
</interface>
</node>'''

DENIED = 'org.freedesktop.DBus.Error.AccessDenied'


class StandIn:
    """Owns the daemon's name; answers maps a member to a reply, or to an error's (name, sentence)."""

    def __init__(self, t):
        self.answers = {
            'GetMetrics': GLib.Variant('(s)', (METRICS,)),
            'GetStats': GLib.Variant('(a{sv})', ({'state-since': GLib.Variant('t', 1)},)),
            'ListRejected': GLib.Variant('(a(tssst))', ([],)),
            'GetAll org.holdfast1.Monitor': self.properties(
                State='connected', Reason='ok: fine', Parent='unix:/p'),
            'GetAll org.holdfast1.Storage': self.properties(Area='org.example.App'),
            'GetAll org.holdfast1.Manager': (DENIED, 'This is not for sandboxed applications.'),
            'ListAreas': (DENIED, 'This is not for sandboxed applications.'),
            'OpenArea': GLib.Variant('(o)', (ROOT,)),
        }
        self.called = []
        self.conn = t.client().conn
        for interface in Gio.DBusNodeInfo.new_for_xml(XML).interfaces:
            self.conn.register_object(ROOT, interface, self.on_call, None, None)
        self.conn.call_sync('org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus',
                            'RequestName', GLib.Variant('(su)', (NAME, 0)), None, 0, -1, None)

    @staticmethod
    def properties(**values):
        return GLib.Variant('(a{sv})', ({k: GLib.Variant('s', v) for k, v in values.items()},))

    def on_call(self, _conn, _sender, _path, _interface, member, args, invocation):
        if member == 'GetAll':
            member += ' ' + args.unpack()[0]
        self.called.append(member)
        answer = self.answers[member]
        if isinstance(answer, tuple):
            invocation.return_dbus_error(*answer)
        else:
            invocation.return_value(answer)


def run(t, *args, status=0, **kwargs):
    process = subprocess.Popen([program('holdfastctl')] + list(args), env=t.environ(),
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, **kwargs)
    wait_for(lambda: process.poll() is not None, 'the end of holdfastctl', CALL)
    out, err = (stream.decode() for stream in process.communicate())
    equal(process.returncode, status, 'exit status of %s (%r)' % (' '.join(args), err))
    assert SANITIZER.search(err) is None, err
    return out, err


@test
def metrics_are_printed_to_the_byte(t):
    StandIn(t)
    equal(run(t, 'metrics')[0], METRICS)


@test
def a_textfile_is_what_node_exporter_reads(t):
    StandIn(t)
    path = os.path.join(t.dir, 'holdfast.prom')
    previous = os.umask(0o077)
    try:
        equal(run(t, 'metrics', '--textfile', path), ('', ''))
    finally:
        os.umask(previous)
    equal(stat.S_IMODE(os.stat(path).st_mode), 0o644)
    with open(path) as file:
        text = file.read()
    try:
        from prometheus_client.parser import text_string_to_metric_families
    except ImportError:
        text_string_to_metric_families = None
    if text_string_to_metric_families:
        families = {f.name: f for f in text_string_to_metric_families(text)}
        equal({name: f.type for name, f in families.items()},
              {'holdfast_parent_state': 'gauge', 'holdfast_pings': 'counter',
               'holdfast_round_trip_seconds': 'histogram'})
        equal(families['holdfast_pings'].samples[0].value, 12)
    if shutil.which('promtool'):
        done = subprocess.run(['promtool', 'check', 'metrics'], input=text.encode(),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60 * SLOW)
        equal((done.returncode, done.stdout), (0, b''))
    assert 'stateset' not in text and 'EOF' not in text, text


def replaced(t, *args, status=0, old='old\n', **kwargs):
    """Write over an old file: what it is then. Nothing else is in its directory."""
    directory = os.path.join(t.dir, 'textfiles')
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, 'h.prom')
    with open(path, 'w') as file:
        file.write(old)
    err = run(t, 'metrics', '--textfile=' + path, *args, status=status, **kwargs)[1]
    equal(os.listdir(directory), ['h.prom'])
    with open(path) as file:
        return file.read(), err


@test
def a_failure_leaves_the_old_file(t):
    stand_in = StandIn(t)
    assert 'holdfast_pings_total 12' in replaced(t)[0]

    def small_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
    text, err = replaced(t, status=1, preexec_fn=small_files)
    equal(text, 'old\n')
    assert 'too large' in err, err

    stand_in.answers['GetMetrics'] = (DENIED, 'Only root may see them.')
    text, err = replaced(t, status=1)
    equal(text, 'old\n')
    assert 'access denied: Only root' in err, err

    stand_in.answers['GetMetrics'] = GLib.Variant('(s)', (METRICS,))
    for path in (os.path.join(t.dir, 'nowhere', 'x.prom'), t.dir):
        before = sorted(os.listdir(t.dir))
        err = run(t, 'metrics', '--textfile=' + path, status=1)[1]
        assert 'cannot be written' in err, err
        equal(sorted(os.listdir(t.dir)), before)
    equal([n for n in os.listdir(os.path.dirname(t.dir))
           if n.startswith('.' + os.path.basename(t.dir))], [])


@test
def a_reader_sees_the_old_file_or_the_new(t):
    StandIn(t)
    path = os.path.join(t.dir, 'h.prom')
    with open(path, 'w') as file:
        file.write('old\n')
    with open(path) as held:
        run(t, 'metrics', '--textfile=' + path)
        equal(held.read(), 'old\n')
    link = os.path.join(t.dir, 'relative')
    os.mkdir(link)
    run(t, 'metrics', '--textfile=h.prom', cwd=link)
    equal(os.listdir(link), ['h.prom'])


@test
def what_is_no_file_is_not_replaced(t):
    StandIn(t)
    path = os.path.join(t.dir, 'stdout')
    os.symlink('/proc/self/fd/1', path)
    assert 'not a file' in run(t, 'metrics', '--textfile=' + path, status=1)[1]
    assert os.path.islink(path)
    os.unlink(path)
    os.mkfifo(path)
    assert 'not a file' in run(t, 'metrics', '--textfile=' + path, status=1)[1]
    assert stat.S_ISFIFO(os.stat(path).st_mode)


@test
def without_a_daemon_metrics_end_with_five(t):
    text, err = replaced(t, status=5)
    equal(text, 'old\n')
    assert 'not running' in err, err


@test
def status_does_without_what_is_denied(t):
    stand_in = StandIn(t)
    text = run(t, 'status')[0]
    assert 'connected' in text and 'org.example.App' in text, text
    assert 'not told to this caller' in text, text
    assert '"version":null' in run(t, 'status', '--json=short')[0]
    equal(run(t, 'areas', status=1)[1],
          'holdfastctl: access denied: This is not for sandboxed applications.\n')
    stand_in.answers['GetAll org.holdfast1.Monitor'] = (
        DENIED, 'Rejected send message, 2 matched rules; type="method_call", sender=":1.5"')
    err = run(t, 'status', status=1)[1]
    assert 'policy of this bus' in err and 'matched rules' not in err, err


@test
def who_may_not_list_areas_opens_them_unseen(t):
    stand_in = StandIn(t)
    equal(run(t, '--area=org.example.App.sub', 'queue', '--rejected'), ('', ''))
    equal(stand_in.called, ['ListAreas', 'OpenArea', 'ListRejected'])
    stand_in.called.clear()
    stand_in.answers['ListAreas'] = GLib.Variant('(as)', (['other'],))
    assert 'no area org.example.App.sub' in run(t, '--area=org.example.App.sub', 'queue', status=1)[1]
    stand_in.answers['ListAreas'] = ('org.freedesktop.DBus.Error.LimitsExceeded', 'Too many calls.')
    assert 'Too many calls' in run(t, '--area=org.example.App.sub', 'queue', status=1)[1]
    equal(stand_in.called, ['ListAreas', 'ListAreas'])


if __name__ == '__main__':
    main()
