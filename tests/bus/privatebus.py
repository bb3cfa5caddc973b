# SPDX-License-Identifier: LGPL-2.1-or-later
"""A bus of a test's own: a dbus-daemon, or, where systemd is there to start it, a dbus-broker.

Both have limits so wide that only holdfastd's own are met. HOLDFAST_TEST_BUS=dbus-broker asks for
the broker; it takes a systemd as PID 1 and its journal, so it is for tests/boot.
"""

import itertools
import os
import shutil
import signal
import subprocess
import tempfile

CONFIG = '''<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=%s</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
  <limit name="max_incoming_bytes">1000000000</limit>
  <limit name="max_outgoing_bytes">1000000000</limit>
  <limit name="max_message_size">1000000000</limit>
  <limit name="max_completed_connections">100000</limit>
  <limit name="max_incomplete_connections">10000</limit>
  <limit name="max_connections_per_user">100000</limit>
  <limit name="max_pending_service_starts">10000</limit>
  <limit name="max_names_per_connection">50000</limit>
  <limit name="max_match_rules_per_connection">50000</limit>
  <limit name="max_replies_per_connection">50000</limit>
</busconfig>
'''


class DaemonServer:
    """A dbus-daemon."""

    def __init__(self, path, config):
        self.path, self.config = path, config
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            ['dbus-daemon', '--config-file=' + self.config, '--nofork', '--print-address=1'],
            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        address = self.process.stdout.readline().decode().strip()
        assert address, 'dbus-daemon did not start'
        return address

    def _end(self):
        self.process.wait()
        self.process.stdout.close()
        self.process = None

    def kill(self):
        self.process.kill()
        self._end()
        if os.path.exists(self.path):
            os.unlink(self.path)

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self._end()


UNITS = '/run/systemd/system'

SOCKET_UNIT = '''[Socket]
ListenStream=%s
'''

SERVICE_UNIT = '''[Unit]
StartLimitIntervalSec=0
[Service]
Type=notify
Environment=DBUS_SESSION_BUS_ADDRESS=unix:path=%s
ExecStart=/usr/bin/dbus-broker-launch --config-file=%s --scope user
'''

_numbers = itertools.count(1)


class BrokerServer:
    """A dbus-broker behind a socket unit of the running systemd."""

    def __init__(self, path, config):
        self.path = path
        name = 'hf-bus-%d-%d' % (os.getpid(), next(_numbers))
        self.socket, self.service = name + '.socket', name + '.service'
        for unit, text in ((self.socket, SOCKET_UNIT % path),
                           (self.service, SERVICE_UNIT % (path, config))):
            with open(os.path.join(UNITS, unit), 'w') as file:
                file.write(text)

    def _systemctl(self, *args):
        subprocess.run(['systemctl', *args], check=True, stdin=subprocess.DEVNULL)

    def start(self):
        self._systemctl('start', self.socket, self.service)
        return 'unix:path=' + self.path

    def kill(self):
        # Its socket first: systemd would start it again at the next connection.
        self._systemctl('stop', self.socket)
        self.signal(signal.SIGKILL)
        # Until systemd has seen it die, a start would find it running, and fail with it.
        self._systemctl('stop', self.service)

    def signal(self, number):
        self._systemctl('kill', '--signal=%d' % number, self.service)

    def stop(self):
        self._systemctl('stop', self.socket, self.service)
        for unit in (self.socket, self.service):
            if os.path.exists(os.path.join(UNITS, unit)):
                os.unlink(os.path.join(UNITS, unit))


class Bus:
    """A private bus of the kind that is asked for."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='hf-bus-')
        config = os.path.join(self.dir, 'bus.conf')
        with open(config, 'w') as file:
            file.write(self.config())
        broker = os.environ.get('HOLDFAST_TEST_BUS') == 'dbus-broker'
        self.server = (BrokerServer if broker else DaemonServer)(
            os.path.join(self.dir, 'bus'), config)
        self.address = None
        self.start()

    def config(self):
        """What the bus is told; it listens at bus in its directory."""
        return CONFIG % os.path.join(self.dir, 'bus')

    def start(self):
        self.address = self.server.start()

    def kill(self):
        """As a crash would: at once. start() brings it back at the same path."""
        self.server.kill()

    def freeze(self):
        """Take nothing from anybody until thaw()."""
        self.server.signal(signal.SIGSTOP)

    def thaw(self):
        self.server.signal(signal.SIGCONT)

    def stop(self):
        self.server.stop()
        shutil.rmtree(self.dir, ignore_errors=True)
