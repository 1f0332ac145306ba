# To be sourced: runs many things one after the other, says every half minute what it is doing, and at the end what
# came of each. A step that fails keeps no other from running; what the rest cannot do without is a `must`.

steps_began=$SECONDS
steps_log=$(mktemp)
steps_ended=() # A line for each: how it ended, after how many seconds, and its name.
steps_failed=0
heartbeat=
# A script that is a step of another leaves the heartbeat and the summary to that one.
steps_inside=${STEPS_INSIDE:-}
export STEPS_INSIDE=yes
trap 'rm -f "$steps_log"; stop_heartbeat' EXIT

stop_heartbeat() {
    # It may have been killed.
    [ -z "$heartbeat" ] || kill "$heartbeat" 2>/dev/null || true
    [ -z "$heartbeat" ] || wait "$heartbeat" 2>/dev/null || true
    heartbeat=
}

clock() { printf '%d:%02d' $(((SECONDS - steps_began) / 60)) $(((SECONDS - steps_began) % 60)); }

# Where the step is: the last headline of a script, or what cargo says that it does.
place() {
    grep -aE '^ +(Running|Doc-tests|Compiling) |^(===|---) ' "$steps_log" | tail -n 1 |
        sed -E 's/^ +//; s/^(===|---) (\[[0-9:]+\] )?//; s| \(target/[^)]*\)||'
}

beat() { # NAME
    local place
    # Or the sleep would keep the script's output open when the heart stops.
    while sleep 30 >/dev/null 2>&1; do
        place=$(place)
        [ "$place" = "$1" ] && place=
        printf '[%s] %s%s\n' "$(clock)" "$1" "${place:+: $place}"
    done
}

step() { # NAME COMMAND...
    local name=$1 began=$SECONDS outcome=passed
    shift
    printf '\n=== [%s] %s\n' "$(clock)" "$name" | tee -a "$steps_log"
    if [ -z "$steps_inside" ]; then
        beat "$name" &
        heartbeat=$!
    fi
    "$@" 2>&1 | tee -a "$steps_log" || outcome=FAILED
    stop_heartbeat
    [ $outcome = passed ] || steps_failed=1
    steps_ended+=("$(printf '%s %5d s  %s' $outcome $((SECONDS - began)) "$name")")
}

must() { # NAME COMMAND...
    step "$@"
    [ $steps_failed = 0 ] || finish
}

# What came of each step, and what each runner said of itself; ends the script.
finish() {
    printf '\n=== [%s] What came of each step\n' "$(clock)"
    printf '%s\n' "${steps_ended[@]}"
    if [ -z "$steps_inside" ] && command -v python3 >/dev/null; then
        printf '\n=== What each runner says\n'
        .ci/summary.py "$steps_log"
        if [ $steps_failed = 0 ]; then echo "All passed."; else echo "Not all passed."; fi
    fi
    exit $steps_failed
}
