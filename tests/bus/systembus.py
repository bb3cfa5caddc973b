# SPDX-License-Identifier: LGPL-2.1-or-later
"""A private bus with the rules of a system bus, and holdfastd on it as a user of its own."""

import os
import pwd
import re

from asuser import OtherClient
from busclient import Bus
from harness import Env
from programs import TOP, Daemon, program

POLICY = os.path.join(TOP, 'data', 'dbus-1', 'org.holdfast1.conf')
USER = 'holdfast'
OVERFLOW_UID = 65534    # "nobody": users that a user namespace does not have

# What dbus-daemon's own system.conf has, without what is about the machine.
SYSTEM_CONFIG = '''<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=%s</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
    <allow send_destination="org.freedesktop.DBus"
           send_interface="org.freedesktop.DBus.Introspectable"/>
    <allow send_destination="org.freedesktop.DBus"
           send_interface="org.freedesktop.DBus.Properties"/>
  </policy>
  <include>%s</include>
</busconfig>
'''


def ordinary_uids():
    """Users this machine has, without privileges: a bus lets in only whom it finds by name."""
    return sorted(p.pw_uid for p in pwd.getpwall()
                  if p.pw_uid >= 10 and p.pw_uid != OVERFLOW_UID and p.pw_name != USER)


def daemon_uid():
    """The user the daemon has on an installed system, else one of the others."""
    try:
        return pwd.getpwnam(USER).pw_uid
    except KeyError:
        return ordinary_uids()[0]


class SystemBus(Bus):
    """With the policy as shipped, but for the daemon's user where this machine has none."""

    policy_change = staticmethod(lambda text: text)

    def config(self):
        os.chmod(self.dir, 0o755)
        with open(POLICY) as file:
            text = file.read()
        assert text.count('user="%s"' % USER) == 1
        text = text.replace('user="%s"' % USER,
                            'user="%s"' % pwd.getpwuid(daemon_uid()).pw_name)
        policy = os.path.join(self.dir, 'policy.conf')
        with open(policy, 'w') as file:
            file.write(self.policy_change(text))
        return SYSTEM_CONFIG % (os.path.join(self.dir, 'bus'), policy)


class LaxBus(SystemBus):
    """Lets all calls through, so that the daemon's own refusals are seen."""

    policy_change = staticmethod(lambda text: re.sub(r'<deny send_[^>]*/>', '', text))


class SystemDaemon(Daemon):
    """holdfastd --system, without privileges."""

    def __init__(self, env, conf=None, **kwargs):
        super().__init__(env, conf, environ={'DBUS_SYSTEM_BUS_ADDRESS': env.bus.address}, **kwargs)
        self.environ.pop('DBUS_SESSION_BUS_ADDRESS')
        self.uid = daemon_uid()

    def argv(self):
        return ['setpriv', '--reuid=%d' % self.uid, '--regid=%d' % self.uid, '--clear-groups',
                '--no-new-privs'] + self.wrap + [
                program('holdfastd'), '--system', '--config', self.config,
                '--state-dir', self.state, '--log-level', 'debug'] + self.args

    def start(self, ready=True, **kwargs):
        os.chmod(self.env.dir, 0o755)
        os.makedirs(self.state, mode=0o700, exist_ok=True)
        os.chown(self.state, self.uid, self.uid)
        return super().start(ready, **kwargs)

    def spawn(self, argv, environ=None, **kwargs):
        os.chmod(self.notify.path, 0o666)
        super().spawn(argv, environ, **kwargs)


class SystemEnv(Env):
    """An Env of a system bus: its clients are processes of their own."""

    def daemon(self, conf=None, **kwargs):
        return SystemDaemon(self, conf, **kwargs).start()

    def parent(self, **kwargs):
        parent = super().parent(**kwargs)
        os.chmod(self.socket_path, 0o666)
        return parent

    def user(self, uid, **kwargs):
        """A client that is a process of user @uid."""
        client = OtherClient(self.bus, uid, **kwargs)
        self.closers.append(client.close)
        return client

