"""The command line: words in, words out. No SQL, no HTTP, no decisions; every verb is a call of `oms.app.Oms`
(verify, demo and lab: also of `oms.lab`).

    entry       one call from argv to exit code: nothing escapes it as a traceback
    root        the table of commands; each module is imported when its command is called
    options     the options that every command takes, before or after its name
    invocation  what one call carries: settings, the opened Oms, the answer, the notes
    answer      stdout: table, tab-separated text, json, jsonl, csv
    columns     which fields a table shows
    terminal    colour, terminals, questions, escaping of text that came from elsewhere
    notes       stderr: sentences, warnings, progress, the log
    signals     SIGINT and SIGTERM

One module per command group: submit, reconcile, cancel, orders, status, markets, configuration, database, sandbox,
doctor, demo, verify, lab, topics.
"""
