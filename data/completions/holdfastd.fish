# SPDX-License-Identifier: LGPL-2.1-or-later
# fish completion for holdfastd(8).

complete -c holdfastd -f
complete -c holdfastd -s h -l help -d 'Print a short help and exit'
complete -c holdfastd -l version -d 'Print the version and exit'
complete -c holdfastd -l user -d 'Serve on the user bus'
complete -c holdfastd -l system -d 'Serve on the system bus'
complete -c holdfastd -l config -rF -d 'Read this configuration file alone'
complete -c holdfastd -l state-dir -x -a '(__fish_complete_directories)' -d 'Keep the database here'
complete -c holdfastd -l parent -x -a 'unix: tls: local:' -d 'The parent'
complete -c holdfastd -l log-level -x -a 'emerg alert crit err warning notice info debug' -d 'How much is logged'
complete -c holdfastd -l bus-introspect -d 'Print the D-Bus interfaces and exit'
complete -c holdfastd -l test-config -d 'Check the configuration and exit'
