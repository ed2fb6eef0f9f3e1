#!/bin/sh
# A strategy in any language: it prints its orders as JSON lines, oms places them, and one JSON line for each order
# comes back, in the same order.
#
#     sh examples/bot.sh [DAY]
#
# The strategy names each decision by a client_order_id of its own. Saying a decision again (after a crash, or because
# the answer was lost) places nothing twice: the answer is that of the first time, with "preexisting": true.
set -u
day=${1:-$(date -u +%Y-%m-%d)}

decide() {
    echo "{\"ticker\": \"SBXRAIN-A-T10\", \"action\": \"buy\", \"side\": \"yes\", \"count\": 2, \"price\": \"0.55\", \"client_order_id\": \"rain-$day\"}"
    echo "{\"ticker\": \"SBXTEMP-A-T20\", \"action\": \"buy\", \"side\": \"no\", \"count\": 1, \"price\": \"0.99\", \"client_order_id\": \"temp-$day\"}"
}

decide | oms submit - -o jsonl
code=$?

case $code in
    0) ;;                                                                 # every order is at the exchange
    3) echo "in doubt: count these orders as live; say them again" >&2 ;; # never send them under another id
    5) echo "refused: \"reason\" and \"detail\" of each line say why" >&2 ;;
    6) echo "not sent: everything is recorded; say it again later" >&2 ;;
esac
exit $code
