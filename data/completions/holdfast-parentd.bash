# SPDX-License-Identifier: LGPL-2.1-or-later
# bash completion for holdfast-parentd(8); needs bash-completion.

_holdfast_parentd()
{
    local cur prev words cword split
    _init_completion -s -n : || return

    case $prev in
        --database | --tokens | --tls-cert | --tls-key) _filedir ;;
        --listen)
            mapfile -t COMPREPLY < <(compgen -W 'unix: tls:' -- "$cur")
            compopt -o nospace
            __ltrim_colon_completions "$cur"
            ;;
        --max-keys | --max-bytes) ;;
        *)
            $split && return
            mapfile -t COMPREPLY < <(compgen -W '--listen --database --tokens --tls-cert --tls-key
                --max-keys --max-bytes --help --version' -- "$cur")
            ;;
    esac
}

complete -F _holdfast_parentd holdfast-parentd
