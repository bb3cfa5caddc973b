# SPDX-License-Identifier: LGPL-2.1-or-later
# fish completion for holdfastctl(1).
#
# Keys are asked for with the bus and the area that stand on the line already. Asking starts no
# daemon, makes no area, waits two seconds at most, and says nothing when it gets no answer.

function __holdfastctl_ask
    command timeout 2 holdfastctl --auto-start=no $argv 2>/dev/null </dev/null
end

# Prints what the words before the cursor say: the bus, the area, the verb and its arguments, each
# behind its name.
function __holdfastctl_words
    set -l valued --area --auto-start --json --timeout --textfile --show --retry --drop
    set -l pending
    set -l ended
    set -l words (commandline -opc)
    for word in $words[2..]
        if test -n "$pending"
            test "$pending" = --area; and printf 'area %s\n' $word
            set pending
        else if test -z "$ended" -a "x$word" = x--
            set ended yes
            echo ended
        else if test -z "$ended"; and string match -q -- '--area=*' $word
            printf 'area %s\n' (string replace -- --area= '' $word)
        else if test -z "$ended"; and contains -- $word --user --system
            printf 'bus %s\n' $word
        else if test -z "$ended"; and contains -- $word $valued
            set pending $word
        else if test -n "$ended"; or not string match -q -- '-*' $word
            printf 'word %s\n' $word
        end
    end
end

# Whether the next argument is number $argv[1] of one of the verbs that follow; 0: the verb itself.
function __holdfastctl_at
    set -l words (__holdfastctl_words | string replace -rf '^word ' '')
    test (count $words) -eq $argv[1]; or return
    test $argv[1] -eq 0; or contains -- $words[1] $argv[2..]
end

function __holdfastctl_bus
    __holdfastctl_words | string replace -rf '^bus ' '' | tail -n 1
end

function __holdfastctl_areas
    __holdfastctl_ask (__holdfastctl_bus) areas
end

# The area need not exist: to ask for its keys would make it.
function __holdfastctl_in_area
    set -l area (__holdfastctl_words | string replace -rf '^area ' '' | tail -n 1)
    if test -z "$area"
        __holdfastctl_ask (__holdfastctl_bus) $argv
    else if contains -- $area (__holdfastctl_areas)
        __holdfastctl_ask (__holdfastctl_bus) --area=$area $argv
    end
end

# What looks like an option is an argument only after --.
function __holdfastctl_keys
    if contains ended (__holdfastctl_words)
        __holdfastctl_in_area list
    else
        __holdfastctl_in_area list | string match -v -- '-*'
    end
end

# Serials are the first column of the table.
function __holdfastctl_serials
    __holdfastctl_in_area queue $argv | string replace -rf '^ *(\d+) .*' '$1'
end

complete -c holdfastctl -f
complete -c holdfastctl -n '__holdfastctl_at 0' -a get -d 'Print the value of an item'
complete -c holdfastctl -n '__holdfastctl_at 0' -a set -d 'Write an item'
complete -c holdfastctl -n '__holdfastctl_at 0' -a remove -d 'Remove an item'
complete -c holdfastctl -n '__holdfastctl_at 0' -a list -d 'List the keys known here'
complete -c holdfastctl -n '__holdfastctl_at 0' -a areas -d 'List your areas'
complete -c holdfastctl -n '__holdfastctl_at 0' -a watch -d 'Show changes as they come'
complete -c holdfastctl -n '__holdfastctl_at 0' -a status -d 'Show the line and the queue'
complete -c holdfastctl -n '__holdfastctl_at 0' -a monitor -d 'Show the line and the queue, live'
complete -c holdfastctl -n '__holdfastctl_at 0' -a metrics -d "Print the daemon's metrics"
complete -c holdfastctl -n '__holdfastctl_at 0' -a queue -d 'List the writes that wait'
complete -c holdfastctl -n '__holdfastctl_at 0' -a flush -d 'Send what waits, and wait for it'
complete -c holdfastctl -n '__holdfastctl_at 0' -a await -d 'Wait for one write'
complete -c holdfastctl -n '__holdfastctl_at 1 get set remove list' -a '(__holdfastctl_keys)'
complete -c holdfastctl -n '__holdfastctl_at 1 await' -a '(__holdfastctl_serials)'

complete -c holdfastctl -s h -l help -d 'Show a short help'
complete -c holdfastctl -l version -d 'Show the version'
complete -c holdfastctl -l user -d 'Talk to the daemon on the user bus'
complete -c holdfastctl -l system -d 'Talk to the daemon on the system bus'
complete -c holdfastctl -l area -x -a '(__holdfastctl_areas)' -d 'Use this area'
complete -c holdfastctl -l auto-start -x -a 'yes no' -d 'Whether the bus may start the daemon'
complete -c holdfastctl -l json -x -a 'short pretty' -d 'Print JSON'
complete -c holdfastctl -l raw -d 'Print the value alone'
complete -c holdfastctl -l timeout -x -a '500ms 1s 10s 1min infinity' -d 'Give up after this time'
complete -c holdfastctl -l textfile -rF -d 'Write the metrics into a file'
complete -c holdfastctl -l rejected -d 'List what the parent refused'
complete -c holdfastctl -l show -x -a '(__holdfastctl_serials --rejected)' -d 'Print the value of a refused write'
complete -c holdfastctl -l retry -x -a '(__holdfastctl_serials --rejected)' -d 'Queue a refused write again'
complete -c holdfastctl -l drop -x -a '(__holdfastctl_serials --rejected)' -d 'Forget a refused write'
