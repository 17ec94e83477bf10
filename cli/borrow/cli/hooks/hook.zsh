# Borrow's hook for zsh: `eval "$(borrow hook zsh)"` in ~/.zshrc.
# It starts no program at a prompt: it reads a small file that the daemon keeps for this session.
# A project's programs become functions with one fixed body; no text of a project is ever run.
typeset -g _borrow_bin=@BORROW@ _borrow_prompts=@PROMPTS@
typeset -g _borrow_at='' _borrow_file='' _borrow_stamp='' _borrow_trust='' BORROW_PROMPT=''
typeset -g _borrow_sid=$$
typeset -ga _borrow_words=()
zmodload zsh/datetime zsh/parameter
autoload -Uz add-zsh-hook
() {
  emulate -L zsh
  local stat
  local -a fields
  [[ -r /proc/$$/stat ]] && { read -r stat < /proc/$$/stat } 2>/dev/null
  fields=(${=stat})
  [[ ${fields[6]-} == <1-> ]] && _borrow_sid=${fields[6]}
}

_borrow_segment() {
  emulate -L zsh
  local role ends more told=''
  local -i left
  BORROW_PROMPT=''
  if [[ -r $_borrow_prompts/$_borrow_sid ]]; then
    while read -r role ends more; do
      [[ $role != *[^a-z0-9._-]* && $ends == <-> ]] || continue
      left=$((ends - EPOCHSECONDS))
      ((left > 0)) || continue
      if ((left >= 5400)); then more="$(((left + 1800) / 3600))h"
      elif ((left >= 60)); then more="$((left / 60))m"
      else more="${left}s"; fi
      told+=" $role $more"
    done < $_borrow_prompts/$_borrow_sid
  fi
  if [[ -n ${BORROW_ROLE-} && $BORROW_ROLE != *[^a-z0-9._-]* && "$told " != *" $BORROW_ROLE "* ]]; then
    told+=" $BORROW_ROLE"
  fi
  [[ -z $told ]] || BORROW_PROMPT="[${told# }] "
  # psvar is shown as it is, whatever options the prompt has.
  psvar[7]=$BORROW_PROMPT
  [[ ${BORROW_PROMPT_SEGMENT-} == off || $PROMPT == *'%7v'* ]] || PROMPT="%7v$PROMPT"
}

_borrow_find() {
  emulate -L zsh
  local folder=$PWD
  _borrow_file=''
  while true; do
    if [[ -e ${folder%/}/.borrow.toml || -L ${folder%/}/.borrow.toml ]]; then
      _borrow_file=${folder%/}/.borrow.toml
      return
    fi
    [[ $folder != / && -n $folder ]] || return
    folder=${folder:h}
  done
}

# One program, one function. Its name was checked by borrow and is checked again here.
_borrow_wrap() {
  emulate -L zsh
  [[ $1 == [A-Za-z0-9]* && $1 != *[^A-Za-z0-9._+-]* ]] || return
  local kind=''
  (($+aliases[$1])) && kind=alias
  (($+functions[$1])) && kind=function
  (($+builtins[$1])) && kind=builtin
  ((${reswords[(Ie)$1]})) && kind='word of the shell'
  if [[ -n $kind ]]; then
    print -r -u2 -- "borrow: $1 is a $kind of yours already and stays so"
    return
  fi
  functions[$1]='"$_borrow_bin" run --here -- '$1' "$@"'
  _borrow_words+=($1)
}

_borrow_unwrap() {
  emulate -L zsh
  local name
  for name in $_borrow_words; do unset "functions[$name]"; done
  _borrow_words=()
}

_borrow_project() {
  emulate -L zsh
  local fresh=no before=$_borrow_file
  local -a told
  if [[ $PWD != "$_borrow_at" ]]; then
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
  told=("${(@f)$("$_borrow_bin" hook --names)}")
  _borrow_trust=${told[1]-} _borrow_stamp=${told[2]-}
  local name
  for name in "${(@)told[3,-1]}"; do [[ -z $name ]] || _borrow_wrap "$name"; done
}

_borrow_at_prompt() {
  _borrow_project
  _borrow_segment
}

if [[ -o interactive ]]; then
  add-zsh-hook precmd _borrow_at_prompt
  add-zsh-hook chpwd _borrow_project
fi
