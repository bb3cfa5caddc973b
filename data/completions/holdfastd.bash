# SPDX-License-Identifier: LGPL-2.1-or-later
# bash completion for holdfastd(8); needs bash-completion.

_holdfastd()
{
    local cur prev words cword split
    _init_completion -s -n : || return

    case $prev in
        --config) _filedir ;;
        --state-dir) _filedir -d ;;
        --log-level)
            mapfile -t COMPREPLY < <(compgen -W \
                'emerg alert crit err warning notice info debug' -- "$cur")
            ;;
        --parent)
            mapfile -t COMPREPLY < <(compgen -W 'unix: tls: local:' -- "$cur")
            [[ ${COMPREPLY[*]} == local: ]] || compopt -o nospace
            __ltrim_colon_completions "$cur"
            ;;
        *)
            $split && return
            mapfile -t COMPREPLY < <(compgen -W '--user --system --config --state-dir --parent
                --log-level --bus-introspect --test-config --help --version' -- "$cur")
            ;;
    esac
}

complete -F _holdfastd holdfastd
