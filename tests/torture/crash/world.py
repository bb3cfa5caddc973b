# SPDX-License-Identifier: LGPL-2.1-or-later
"""The two programs of a point, each with a plan to die by, on disks that forget."""

import os
import shutil

from harness import Daemon, Env, Parentd, SLOW, wait_for
from powerloss import lose_power
from programs import NotifySocket, program
from waiting import ms

CONFIG = {
    'Parent': {'RequestTimeout': ms(300), 'BatchTimeout': ms(1500), 'DialTimeout': ms(1000)},
    'Reconnect': {'InitialDelay': ms(4), 'MaxDelay': ms(20)},
    'Debounce': {'Delay': ms(4), 'MaxDelay': ms(12)},
}
# Bytes of keys and values a user may keep at the parent: BIG is over it, all the rest is not.
MAX_BYTES = 20 * 1024
BIG = 24 * 1024


class Mortal:
    """What both programs share: start under a plan, die, lose their disk."""

    def begin(self, plan=None):
        """Return: whether it came up; False: the plan has killed it."""
        self.plan = plan
        self.killed = False
        self.launch(plan.environ() if plan else {})
        wait_for(lambda: not self.alive() or self.notify.has('READY=1'),
                 'READY=1 of ' + self.name, 15 * SLOW)
        if self.alive():
            return True
        self.check_death()
        return False

    wrap = []               # a command that runs the program
    plan = None
    killed = False          # by its plan, since it was last begun

    def check_death(self):
        """It is dead: by its plan, and nothing else."""
        status = self.process.wait()
        assert status == -9 and self.plan and self.plan.fired, \
            '%s ended with status %d' % (self.name, status)
        self.process = None
        self.killed = True

    def end(self):
        """SIGTERM; it may meet its plan at that: look() tells."""
        self.process.terminate()
        wait_for(lambda: not self.alive(), 'the end of ' + self.name, 15 * SLOW)
        if self.process.returncode == 0:
            self.process = None

    def look(self):
        """Notice that it was killed. Return: whether it was, at some time since it was begun."""
        if self.process is not None and self.process.poll() is not None:
            self.check_death()
        return self.killed

    def lose_power(self, rand):
        assert self.process is None
        lose_power(self.plan, rand)


class MortalDaemon(Mortal, Daemon):
    def __init__(self, env, durability):
        super().__init__(env, dict(CONFIG, Storage={'Durability': durability}),
                         args=['--log-level', 'notice'])
        self.directory = self.state

    def launch(self, environ):
        if self.notify is not None:
            self.notify.close()
        self.notify = NotifySocket(os.path.join(self.env.dir, 'notify-daemon'))
        self.spawn(self.argv(), dict(self.environ, NOTIFY_SOCKET=self.notify.path, **environ))


class MortalParent(Mortal, Parentd):
    def __init__(self, env, max_bytes):
        super().__init__(env, ['--max-bytes', str(max_bytes)])
        # Where it keeps its database if nobody says, and makes the directory itself.
        self.directory = os.path.join(env.dir, 'xdg-state', 'holdfast')
        self.dbpath = os.path.join(self.directory, 'parent.db')
        self.notify = None

    def launch(self, environ):
        if self.notify is not None:
            self.notify.close()
        self.notify = NotifySocket(os.path.join(self.env.dir, 'notify-parent'))
        argv = [program('holdfast-parentd'), '--listen', 'unix:' + self.path]
        self.spawn(self.wrap + argv + self.args,
                   dict(self.env.environ(), NOTIFY_SOCKET=self.notify.path, **environ))


class World(Env):
    """The directory of one point, and the two programs."""

    def __init__(self, bus, client, durability='full', template=None, max_bytes=MAX_BYTES):
        """@template: a directory with the databases to begin with."""
        super().__init__(bus)
        self.c = client
        self.d = MortalDaemon(self, durability)
        self.p = MortalParent(self, max_bytes)
        for each in (self.d, self.p):
            found = template and os.path.join(template, os.path.basename(each.directory))
            if found and os.path.isdir(found):
                shutil.copytree(found, each.directory)

    def corrupt(self):
        """Files that were set aside as damaged."""
        return [name for folder in (self.d.directory, self.p.directory) if os.path.isdir(folder)
                for name in os.listdir(folder) if '.corrupt-' in name or '.recovered' in name]

    def end(self):
        """Nothing runs on, whatever happened; the directory goes."""
        for each in (self.d, self.p):
            if each.process is not None:
                each.kill9()
            if each.notify is not None:
                each.notify.close()
        shutil.rmtree(self.dir, ignore_errors=True)
