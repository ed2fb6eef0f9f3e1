#!/bin/sh
# Place a file of orders and end only when every row is settled.
#
#     sh examples/batch.sh FILE.csv
#
# Kill it where you like, lose the network, turn the machine off: run it again and it goes on. The same file is the
# same orders, so the same command again is always safe. What became of each row is in FILE.csv.placed.
set -u
file=${1:-examples/orders.csv}

# Every row is checked before anything is recorded. Exit 2: a row is wrong, and each one is named with its line.
oms submit "$file" --dry-run -o csv >/dev/null || exit

tries=0
until oms submit "$file" -o csv >"$file.placed"; do
    code=$?
    case $code in
        3 | 6) ;;            # 3: something is in doubt, 6: not everything was sent. Both are finished by running again
        *) exit "$code" ;;   # 4: the key, 5: refused by the exchange. A person has to look first
    esac
    tries=$((tries + 1))
    [ "$tries" -lt 20 ] || exit "$code"
    sleep 3
done

oms reconcile   # fills, fees, positions; exit 7 names every difference between ledger and exchange
