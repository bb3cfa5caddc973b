# SPDX-License-Identifier: LGPL-2.1-or-later
# bash completion for holdfastctl(1); needs bash-completion.
#
# Keys are asked for with the bus and the area that stand on the line already. Asking starts no
# daemon, makes no area, waits two seconds at most, and says nothing when it gets no answer.

_holdfastctl_ask()
{
    timeout 2 holdfastctl --auto-start=no "$@" 2>/dev/null </dev/null
}

# Take the quotes off a word as typed, which may be unfinished; nothing in it is ever run.
# Sets text: all of it. head: the part before what readline replaces, which is the rest after the
# last break character or quote. quote: the one that is still open, or nothing.
_holdfastctl_unquote()
{
    local word=$1 char i
    text='' head='' quote=''
    for ((i = 0; i < ${#word}; i++)); do
        char=${word:i:1}
        if [[ $quote == "'" && $char != "'" ]]; then
            text+=$char
        elif [[ $char == \\ ]]; then
            if [[ $quote == '"' && ${word:i+1:1} != [\"\$\`\\] ]]; then
                text+=$char
            else
                ((i++))
                text+=${word:i:1}
            fi
        elif [[ -n $quote && $char == "$quote" ]]; then
            quote='' head=$text
        elif [[ -z $quote && $char == [\"\'] ]]; then
            quote=$char head=$text
        else
            text+=$char
            [[ -z $quote && $COMP_WORDBREAKS == *"$char"* ]] && head=$text
        fi
    done
}

# Offer the lines of standard input that go on with $text, quoted as the line is.
_holdfastctl_offer()
{
    local line
    while IFS= read -r line; do
        [[ $line == "$text"* ]] || continue
        # What looks like an option is an argument only after --.
        [[ $line == -* && -z $ended ]] && continue
        # In double quotes nothing keeps the history from being put in its place.
        [[ $line == *!* && $quote == '"' ]] && continue
        line=${line:${#head}}
        case $quote in
            "'") line=${line//\'/\'\\\'\'} ;;
            '"')
                line=${line//\\/\\\\}
                line=${line//\"/\\\"}
                line=${line//\$/\\\$}
                line=${line//\`/\\\`}
                ;;
            *) [[ -n $line ]] && printf -v line %q "$line" ;;
        esac
        COMPREPLY+=("$line")
    done
}

# The area need not exist: to ask for its keys would make it.
_holdfastctl_keys()
{
    if [[ -n $area ]]; then
        _holdfastctl_ask "$bus" areas | grep -qxF -e "$area" || return
        _holdfastctl_offer < <(_holdfastctl_ask "$bus" --area="$area" list -- "$text")
    else
        _holdfastctl_offer < <(_holdfastctl_ask "$bus" list -- "$text")
    fi
}

# Serials are the first column of what "$@" prints.
_holdfastctl_serials()
{
    local serial rest
    _holdfastctl_offer < <(
        _holdfastctl_ask "$bus" ${area:+--area="$area"} "$@" | while read -r serial rest; do
            [[ $serial == [0-9]* ]] && echo "$serial"
        done)
}

_holdfastctl_value()
{
    case $1 in
        --area) _holdfastctl_offer < <(_holdfastctl_ask "$bus" areas) ;;
        --json) _holdfastctl_offer < <(printf '%s\n' short pretty) ;;
        --auto-start) _holdfastctl_offer < <(printf '%s\n' yes no) ;;
        --timeout) _holdfastctl_offer < <(printf '%s\n' 500ms 1s 10s 1min infinity) ;;
        --show | --retry | --drop) _holdfastctl_serials queue --rejected ;;
        --textfile)
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -f -- "$text")
            ;;
    esac
}

_holdfastctl()
{
    local cur prev words cword
    local verbs='get set remove list areas watch status monitor metrics queue flush await'
    local options='--help --version --user --system --area= --auto-start= --json= --raw --timeout=
        --textfile= --rejected --show= --retry= --drop='
    local valued='--area --auto-start --json --timeout --textfile --show --retry --drop'
    local bus=--user area='' verb='' ended='' count=0 pending='' text head quote i

    COMPREPLY=()
    _get_comp_words_by_ref -n '=:' cur prev words cword

    for ((i = 1; i < cword; i++)); do
        _holdfastctl_unquote "${words[i]}"
        if [[ -n $pending ]]; then
            [[ $pending == --area ]] && area=$text
            pending=''
        elif [[ -z $ended && $text == -- ]]; then
            ended=1
        elif [[ -z $ended && $text == --area=* ]]; then
            area=${text#*=}
        elif [[ -z $ended && ($text == --user || $text == --system) ]]; then
            bus=$text
        elif [[ -z $ended && $text == --* && " $valued " == *" $text "* ]]; then
            pending=$text
        elif [[ -n $ended || $text != -* ]]; then
            [[ -z $verb ]] && verb=$text || ((count++))
        fi
    done

    _holdfastctl_unquote "$cur"
    if [[ -n $pending ]]; then
        _holdfastctl_value "$pending"
    elif [[ -z $ended && $text == --*=* ]]; then
        local option=${text%%=*}
        text=${text#*=}
        # readline breaks the word at the sign, if anywhere.
        [[ $head == --*=* ]] && head=${head#*=} || head=''
        _holdfastctl_value "$option"
    elif [[ -z $ended && $text == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$text")
        [[ ${COMPREPLY[*]} == *= ]] && compopt -o nospace
    elif [[ -z $verb ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$text")
    elif ((count == 0)); then
        case $verb in
            get | set | remove | list) _holdfastctl_keys ;;
            await) _holdfastctl_serials queue ;;
        esac
    fi
}

complete -F _holdfastctl holdfastctl
