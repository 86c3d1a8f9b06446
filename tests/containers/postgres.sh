#!/bin/sh
# What the tests need of the postgres image's ways: a user, a database and a password from a file.
set -eu
data=/var/lib/postgresql/data
password=${POSTGRES_PASSWORD_FILE:-/tmp/password}
[ -e "$password" ] || printf %s "$POSTGRES_PASSWORD" > "$password"
user=${POSTGRES_USER:-postgres}
as="setpriv --reuid=postgres --regid=postgres --clear-groups"
install -d -o postgres -g postgres -m 0700 "$data"
if [ ! -e "$data/PG_VERSION" ]; then
  install -o postgres -g postgres -m 0400 "$password" /tmp/once
  $as initdb -D "$data" -U "$user" --auth=scram-sha-256 --pwfile=/tmp/once --encoding=UTF8 --locale=C > /dev/null
  echo "host all all all scram-sha-256" >> "$data/pg_hba.conf"
  $as pg_ctl -D "$data" -w -o "-c listen_addresses= -k /tmp" start
  [ "${POSTGRES_DB:-$user}" = postgres ] || PGPASSWORD=$(cat "$password") createdb -h /tmp -U "$user" "${POSTGRES_DB:-$user}"
  $as pg_ctl -D "$data" -w stop
  rm /tmp/once
fi
exec $as postgres -D "$data" -c listen_addresses='*' -k /tmp "$@"
