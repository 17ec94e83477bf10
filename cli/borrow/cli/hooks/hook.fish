# Borrow's hook for fish: `borrow hook fish | source` in ~/.config/fish/config.fish.
# At a prompt it reads a small file that the daemon keeps for this session.
# A project's programs become functions with one fixed body; no text of a project is ever run.
set -g _borrow_bin @BORROW@
set -g _borrow_prompts @PROMPTS@
set -g _borrow_at ''
set -g _borrow_file ''
set -g _borrow_stamp ''
set -g _borrow_trust ''
set -g _borrow_words
set -g BORROW_PROMPT ''
set -g _borrow_sid $fish_pid
if test -r /proc/$fish_pid/stat
    read -l _borrow_stat </proc/$fish_pid/stat
    set -l fields (string split ' ' -- $_borrow_stat)
    if string match -qr '^[1-9][0-9]*$' -- $fields[6]
        set _borrow_sid $fields[6]
    end
end

function _borrow_segment
    set -l told
    if test -r $_borrow_prompts/$_borrow_sid
        set -l now (date +%s)
        while read -l role ends more
            string match -qr '^[a-z0-9._-]+$' -- $role; and string match -qr '^[0-9]+$' -- $ends; or continue
            set -l left (math "$ends - $now")
            test $left -gt 0; or continue
            if test $left -ge 5400
                set more (math -s0 "($left + 1800) / 3600")h
            else if test $left -ge 60
                set more (math -s0 "$left / 60")m
            else
                set more "$left"s
            end
            set -a told "$role $more"
        end <$_borrow_prompts/$_borrow_sid
    end
    if set -q BORROW_ROLE; and string match -qr '^[a-z0-9._-]+$' -- $BORROW_ROLE
        string match -q -- "$BORROW_ROLE *" $told; or set -a told $BORROW_ROLE
    end
    set BORROW_PROMPT ''
    if set -q told[1]
        set BORROW_PROMPT "[$told] "
    end
end

function _borrow_find
    set -l folder $PWD
    set _borrow_file ''
    while true
        set -l base (string trim -r -c / -- $folder)
        if test -e $base/.borrow.toml; or test -L $base/.borrow.toml
            set _borrow_file $base/.borrow.toml
            return
        end
        test -n "$base"; or return
        set folder (string replace -r '/[^/]*$' '' -- $base)
        test -n "$folder"; or set folder /
    end
end

# One program, one function. Its name was checked by borrow and is checked again here.
function _borrow_wrap
    set -l _borrow_name $argv[1]
    string match -qr '^[A-Za-z0-9][A-Za-z0-9._+-]*$' -- $_borrow_name; or return
    if functions -q -- $_borrow_name; or builtin -n | string match -q -- $_borrow_name
        echo "borrow: $_borrow_name is a function of yours already and stays so" >&2
        return
    end
    function $_borrow_name --inherit-variable _borrow_name
        $_borrow_bin run --here -- $_borrow_name $argv
    end
    set -ga _borrow_words $_borrow_name
end

function _borrow_project
    set -l fresh no
    if test "$PWD" != "$_borrow_at"
        set -l before $_borrow_file
        set _borrow_at $PWD
        _borrow_find
        test "$_borrow_file" = "$before"; or set fresh yes
    end
    test -n "$_borrow_file" -o $fresh = yes; or return 0
    if test $fresh = no
        # What was found is right until the file or the trust in it is newer than the other.
        if test -n "$_borrow_stamp"; and test -e "$_borrow_stamp"; and not test "$_borrow_file" -nt "$_borrow_stamp"
            test "$_borrow_trust" != trusted; or return 0
        else
            test "$_borrow_trust" = trusted; or return 0
        end
    end
    for name in $_borrow_words
        functions -e -- $name
    end
    set -g _borrow_words
    set _borrow_stamp ''
    set _borrow_trust ''
    test -n "$_borrow_file"; or return 0
    set -l told ($_borrow_bin hook --names)
    set _borrow_trust $told[1]
    set _borrow_stamp $told[2]
    for name in $told[3..-1]
        _borrow_wrap $name
    end
end

if status is-interactive
    function _borrow_at_prompt --on-event fish_prompt
        _borrow_project
        _borrow_segment
    end
    function _borrow_at_cd --on-variable PWD
        _borrow_project
    end
    if not functions -q _borrow_prompt_before; and test "$BORROW_PROMPT_SEGMENT" != off
        functions -q fish_prompt; and functions -c fish_prompt _borrow_prompt_before
        function fish_prompt
            echo -n -s $BORROW_PROMPT
            functions -q _borrow_prompt_before; and _borrow_prompt_before
        end
    end
end
