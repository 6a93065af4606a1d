# shellcheck shell=sh
# A database of its own, made at the start, then the server in this process's place. Durable writes stay on.
set -e
PATH=$PATH:$(echo /usr/lib/postgresql/*/bin)
export PGDATA=/var/lib/postgresql/data
initdb --auth=trust --no-sync >/tmp/initdb.log 2>&1
echo 'host all all 10.88.0.0/16 trust' >>"$PGDATA/pg_hba.conf"
# io_uring cannot be restored, so the server must not use it: its default is "worker" as well.
exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp -c shared_buffers=32MB -c io_method=worker \
  -c checkpoint_timeout=30s -c log_destination=stderr -c logging_collector=on
