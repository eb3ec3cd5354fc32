#!/bin/busybox sh
# The first process of a machine that exists for a minute: records each program of /programs and tells on the console what came of it.
# Lines that begin with a word and a tab are for the reader outside; `kernels/report.rs` knows them.
export PATH=/bin
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mount -t devtmpfs dev /dev
busybox mount -t tmpfs tmp /tmp
busybox ip link set lo up

say() {
    busybox printf '%s\t%s\n' "$1" "$2"
}

# The firmware has left codes of its own on the line.
echo
say kernel "$(busybox uname -r)"
heapcast doctor > /tmp/doctor
say doctor $?
busybox sed 's/^/finding\t/' /tmp/doctor

while read -r name arguments; do
    say program "$name"
    heapcast record --quiet --force --rss-step 4K --output /tmp/trace -- "/programs/$name" $arguments > /dev/null 2> /tmp/said
    say recorded $?
    process=0
    while heapcast inspect --quiet --json --process $process /tmp/trace > /tmp/json 2> /dev/null; do
        # Longer than an argument may be.
        busybox tr -d '\n ' < /tmp/json | busybox sed 's/^/process\t/'
        echo
        process=$((process + 1))
    done
    heapcast replay --quiet --force --policy recorded --output /tmp/report /tmp/trace > /dev/null 2> /tmp/said
    say replayed $?
    busybox sed 's/^/summary\t/' /tmp/report/summary.csv
done < /programs/list

say end now
busybox poweroff -f
