# SPDX-License-Identifier: LGPL-2.1-or-later
"""Certificates made on the spot by openssl(1): an authority, and what it signs."""

import os
import subprocess
import time

DAY = 86400

CA_CONFIG = """
[ca]
default_ca = here
[here]
database = %(dir)s/index.txt
serial = %(dir)s/serial
new_certs_dir = %(dir)s
default_md = sha256
policy = anything
email_in_dn = no
unique_subject = no
copy_extensions = none
[anything]
commonName = supplied
"""


def openssl(*args):
    done = subprocess.run(('openssl',) + args, stdin=subprocess.DEVNULL, capture_output=True)
    assert done.returncode == 0, 'openssl %s: %s' % (args, done.stderr.decode())


def stamp(at):
    return time.strftime('%Y%m%d%H%M%SZ', time.gmtime(at))


def new_key(path):
    openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', path)


class Certificate:
    """The files of one: certificate and key."""

    def __init__(self, stem):
        self.file, self.key = stem + '.pem', stem + '.key'


class Authority:
    """A certificate authority in a directory of its own."""

    def __init__(self, directory, name='Test CA'):
        self.dir = directory
        self.count = 0
        os.mkdir(directory)
        self.file, self.key = os.path.join(directory, 'ca.pem'), os.path.join(directory, 'ca.key')
        self.config = self._write('ca.conf', CA_CONFIG % {'dir': directory})
        self._write('index.txt', '')
        self._write('serial', '01\n')
        new_key(self.key)
        openssl('req', '-x509', '-new', '-key', self.key, '-out', self.file, '-days', '30',
                '-subj', '/CN=' + name, '-addext', 'basicConstraints=critical,CA:TRUE')

    def _write(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, 'w') as file:
            file.write(text)
        return path

    def issue(self, names='DNS:localhost', begins=-DAY, ends=30 * DAY):
        """A server's certificate for @names, valid from and to these seconds from now."""
        self.count += 1
        stem = os.path.join(self.dir, 'server-%d' % self.count)
        made = Certificate(stem)
        extensions = self._write('extensions', 'subjectAltName=%s\n'
                                 'extendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n' % names)
        new_key(made.key)
        openssl('req', '-new', '-key', made.key, '-out', stem + '.csr', '-subj', '/CN=a parent')
        now = time.time()
        openssl('ca', '-batch', '-notext', '-config', self.config, '-cert', self.file,
                '-keyfile', self.key, '-in', stem + '.csr', '-out', made.file,
                '-extfile', extensions, '-startdate', stamp(now + begins),
                '-enddate', stamp(now + ends))
        return made


def self_signed(stem, names='DNS:localhost'):
    made = Certificate(stem)
    new_key(made.key)
    openssl('req', '-x509', '-new', '-key', made.key, '-out', made.file, '-days', '30',
            '-subj', '/CN=a parent', '-addext', 'subjectAltName=' + names)
    return made
