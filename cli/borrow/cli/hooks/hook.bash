# Borrow's hook for bash: `eval "$(borrow hook bash)"` in ~/.bashrc.
# It starts no program at a prompt: it reads a small file that the daemon keeps for this session.
# A project's programs become functions with one fixed body; no text of a project is ever run.
_borrow_bin=@BORROW@
_borrow_prompts=@PROMPTS@
_borrow_at='' _borrow_file='' _borrow_stamp='' _borrow_trust='' _borrow_words=''
BORROW_PROMPT=''
read -r _ _ _ _ _ _borrow_sid _ < "/proc/$$/stat" 2>/dev/null || _borrow_sid=$$
[[ $_borrow_sid == +([0-9]) && $_borrow_sid != 0 ]] || _borrow_sid=$$

_borrow_segment() {
  local role ends now left more told=''
  BORROW_PROMPT=''
  if [[ -r $_borrow_prompts/$_borrow_sid ]]; then
    printf -v now '%(%s)T' -1
    while read -r role ends more; do
      [[ $role != *[!a-z0-9._-]* && $ends != *[!0-9]* && -n $ends ]] || continue
      left=$((ends - now))
      ((left > 0)) || continue
      if ((left >= 5400)); then more="$(((left + 1800) / 3600))h"
      elif ((left >= 60)); then more="$((left / 60))m"
      else more="${left}s"; fi
      told+=" $role $more"
    done < "$_borrow_prompts/$_borrow_sid"
  fi
  if [[ -n ${BORROW_ROLE-} && $BORROW_ROLE != *[!a-z0-9._-]* && "$told " != *" $BORROW_ROLE "* ]]; then
    told+=" $BORROW_ROLE"
  fi
  [[ -z $told ]] || BORROW_PROMPT="[${told# }] "
  [[ ${BORROW_PROMPT_SEGMENT-} == off || ${PS1-} == *BORROW_PROMPT* ]] || PS1='${BORROW_PROMPT}'"${PS1-}"
}

_borrow_find() {
  local folder=$PWD
  _borrow_file=''
  while :; do
    if [[ -e ${folder%/}/.borrow.toml || -L ${folder%/}/.borrow.toml ]]; then
      _borrow_file=${folder%/}/.borrow.toml
      return
    fi
    [[ $folder == */* && -n ${folder%/} ]] || return
    folder=${folder%/*}
    [[ -n $folder ]] || folder=/
  done
}

# One program, one function. Its name was checked by borrow and is checked again here.
_borrow_wrap() {
  [[ $1 == [A-Za-z0-9]* && $1 != *[!A-Za-z0-9._+-]* ]] || return
  if [[ $(type -t -- "$1") == @(alias|function|keyword|builtin) ]]; then
    printf 'borrow: %s is a %s of yours already and stays so\n' "$1" "$(type -t -- "$1")" >&2
    return
  fi
  eval "function $1 { \"\$_borrow_bin\" run --here -- $1 \"\$@\"; }"
  _borrow_words+=" $1"
}

_borrow_unwrap() {
  local name
  for name in $_borrow_words; do unset -f -- "$name"; done
  _borrow_words=''
}

_borrow_project() {
  local fresh=no told name
  if [[ $PWD != "$_borrow_at" ]]; then
    local before=$_borrow_file
    _borrow_at=$PWD
    _borrow_find
    [[ $_borrow_file == "$before" ]] || fresh=yes
  fi
  [[ -n $_borrow_file || $fresh == yes ]] || return 0
  if [[ $fresh == no ]]; then
    # What was found is right until the file or the trust in it is newer than the other.
    if [[ -n $_borrow_stamp && -e $_borrow_stamp && ! $_borrow_file -nt $_borrow_stamp ]]; then
      [[ $_borrow_trust != trusted ]] || return 0
    else
      [[ $_borrow_trust == trusted ]] || return 0
    fi
  fi
  _borrow_unwrap
  _borrow_stamp='' _borrow_trust=''
  [[ -n $_borrow_file ]] || return 0
  told=$("$_borrow_bin" hook --names)
  {
    read -r _borrow_trust
    read -r _borrow_stamp
    while read -r name; do _borrow_wrap "$name"; done
  } <<< "$told"
}

_borrow_at_prompt() {
  local status=$?
  local IFS=$' \t\n'
  _borrow_project
  _borrow_segment
  return $status
}

if [[ $- == *i* ]]; then
  if [[ "$(declare -p PROMPT_COMMAND 2>/dev/null)" == 'declare -a'* ]]; then
    [[ " ${PROMPT_COMMAND[*]} " == *" _borrow_at_prompt "* ]] || PROMPT_COMMAND+=(_borrow_at_prompt)
  elif [[ ${PROMPT_COMMAND-} != *_borrow_at_prompt* ]]; then
    PROMPT_COMMAND="${PROMPT_COMMAND:+${PROMPT_COMMAND%;}; }_borrow_at_prompt"
  fi
fi
