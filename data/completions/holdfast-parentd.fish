# SPDX-License-Identifier: LGPL-2.1-or-later
# fish completion for holdfast-parentd(8).

complete -c holdfast-parentd -f
complete -c holdfast-parentd -s h -l help -d 'Print a short help and exit'
complete -c holdfast-parentd -l version -d 'Print the version and exit'
complete -c holdfast-parentd -l listen -x -a 'unix: tls:' -d 'Listen here'
complete -c holdfast-parentd -l database -rF -d 'Keep everything in this file'
complete -c holdfast-parentd -l tokens -rF -d 'Whose token is whose'
complete -c holdfast-parentd -l tls-cert -rF -d 'The certificate shown to clients'
complete -c holdfast-parentd -l tls-key -rF -d 'Its private key'
complete -c holdfast-parentd -l max-keys -x -d 'Keys a user may keep'
complete -c holdfast-parentd -l max-bytes -x -a '64M 256M 1G' -d 'Bytes a user may keep'
