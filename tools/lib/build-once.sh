# shellcheck shell=bash disable=SC2154
# For scripts that build something large once and keep it in a cache: sourced after setting
#   what     what is built, as messages name it, e.g. "node image"
#   name     what its folders are called: $cache/$name-<key>
#   key      what it was made from, as a hash; another key is another thing (key_of)
# and then
#   build_once MIB_NEEDED COMMAND...    runs COMMAND FOLDER (empty), one at a time, unless it is there already
# COMMAND has mount and process namespaces of its own: what it mounts and starts ends with it.
# COMMAND writes what its parts say to FOLDER.log (progress), whose end is shown when it fails.
#
# A thing is built in a temporary folder and renamed when complete, so a failed or interrupted build leaves nothing that
# could be taken for it. The link $cache/$name beside it points to the one of today. Those of other keys that nobody used
# for a day, and whose folder nobody holds a lock on (a running lab does), are removed.

cache=${GODWIT_CACHE:-/var/cache/godwit}
started=$(date +%s)

# Of what files hold, and of the words behind "--".
key_of() {
  {
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
      cat "$1"
      shift
    done
    [ $# = 0 ] || printf ' %s' "$@"
  } | sha256sum | cut -c1-16
}

elapsed() { echo $(($(date +%s) - started)); }
say() { printf '%s: %s\n' "$what" "$*" >&2; }
step() { printf '%s: [%3d s] %s\n' "$what" "$(elapsed)" "$*" >&2; }
give_up() {
  say "$*"
  exit 1
}
# Shows lines of the input that match $1, at most one a second; all go to $log.
progress() {
  local line now last=0
  while IFS= read -r line; do
    echo "$line" >>"$log"
    now=$(elapsed)
    if [ "$now" -gt "$last" ] && [[ $line =~ $1 ]]; then
      printf '%s: [%3d s]   %.90s\n' "$what" "$now" "$line" >&2
      last=$now
    fi
  done
}

# print_built COMMAND: where it is, for --print; fails and names COMMAND if it is not there.
print_built() {
  [ -d "$cache/$name-$key" ] || give_up "$cache/$name-$key is not there: run $1"
  echo "$cache/$name-$key"
}

point_link() {
  touch "$cache/$name-$key" # used now: see remove_old
  [ "$(readlink "$cache/$name" || true)" = "$name-$key" ] && return
  ln -sfn "$name-$key" "$cache/.$name.$$"
  mv -T "$cache/.$name.$$" "$cache/$name"
}

remove_old() {
  # The keys are 16 hexadecimal digits, so that image-* of one kind is not taken for another's.
  find "$cache" -maxdepth 1 -regextype egrep -regex ".*/$name-[0-9a-f]{16}" ! -name "$name-$key" -mmin +1440 |
    while read -r old; do
      if flock -n "$old" mv "$old" "$cache/.building-$name.$(basename "$old")"; then say "removing unused $old"; fi
    done
  remove_interrupted
}
# For whoever holds the lock: a build that runs would hold it.
remove_interrupted() { rm -rf --one-file-system "$cache/.building-$name".*; }

build_once() {
  local mib_needed=$1 building=$cache/.building-$name.$$ free_mib builder
  log=$building.log
  shift
  if [ -d "$cache/$name-$key" ]; then
    point_link
    return
  fi
  [ "$(id -u)" = 0 ] || give_up "building this needs root"
  mkdir -p "$cache"
  exec 9>"$cache/.lock-$name"
  if ! flock -n 9; then
    say "another build is running, waiting for it"
    flock 9
  fi
  started=$(date +%s)
  if [ ! -d "$cache/$name-$key" ]; then
    remove_interrupted
    free_mib=$(df -Pm "$cache" | awk 'NR == 2 { print $4 }')
    [ "$free_mib" -ge "$mib_needed" ] || give_up "$cache has $free_mib MiB free, the build needs $mib_needed"
    # shellcheck disable=SC2064 # these paths, now
    trap "rm -rf --one-file-system '$building' '$log'" EXIT
    mkdir -p "$building"
    # Dies with this script, however that dies, and takes along what it started; in the background, so that signals are
    # obeyed at once.
    setpriv --pdeathsig KILL unshare --mount --propagation private --mount-proc --pid --fork --kill-child \
      "$@" "$building" &
    builder=$!
    trap 'kill -KILL $builder; wait $builder || true; say "interrupted"; exit 1' INT TERM HUP
    if ! wait "$builder"; then
      [ ! -f "$log" ] || tail -n 15 "$log" >&2
      give_up "the build failed after $(elapsed) s; nothing was left behind"
    fi
    trap - INT TERM HUP
    mv -T "$building" "$cache/$name-$key"
    say "built in $(elapsed) s, $(du -sm "$cache/$name-$key" | cut -f1) MiB"
  fi
  point_link
  remove_old
}
