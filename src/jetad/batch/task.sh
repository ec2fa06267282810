
# the task's own diary: 'jetad status' reads it
note() {
    printf '%s %s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$id" "$*" >>"$job/state/$task.txt"
}

# asked to stop, jetad saves a checkpoint and exits with 85; the same command goes on from there
child='' stopped=''
stop() {
    stopped=$1
    note "signal $1"
    [ -z "$child" ] || kill -USR1 "$child" 2>/dev/null
}
trap 'stop USR1' USR1
trap 'stop TERM' TERM

cd "$folder" || exit 1
mkdir -p "$job/state"
note "start $(hostname)"

# the words of the command, each ended by a NUL: data, no shell text
jetad_words=()
while IFS= read -r -d '' word; do jetad_words+=("$word"); done <"$list"
if [ "${#jetad_words[@]}" -eq 0 ]; then
    echo "jetad: error: $list: no command for task $task" >&2
    note "end 1"
    exit 1
fi

# environment of the site
# SETUP

code=85
if [ -z "$stopped" ]; then
    exec "${jetad_words[@]}" &
    child=$!
    [ -z "$stopped" ] || kill -USR1 "$child" 2>/dev/null
    while kill -0 "$child" 2>/dev/null; do wait "$child"; done # a signal ends 'wait' early
    wait "$child"
    code=$?
    # stopped before jetad was ready to catch the signal (138 USR1, 143 TERM): nothing is lost
    if [ -n "$stopped" ]; then case $code in 138 | 143) code=85 ;; esac fi
fi
note "end $code"
