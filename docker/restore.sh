#!/usr/bin/env bash
# Bring a backup into a new, empty PostgreSQL and an empty artifact folder: restore.sh NAME
#
# The variables are those of backup.sh. The new PostgreSQL has been through init.sql, and no server works with it yet. What
# is damaged, incomplete or would overwrite something is refused before anything is written.
set -euo pipefail

fail() {
  echo "restore: $*" >&2
  exit 1
}

source=${BACKUPS:?the folder for backups}/${1:?the name of a backup}
databases=(mlflow mlflow_auth prefect)
[[ -f $source/SHA256SUMS ]] || fail "$source is no backup: it has no SHA256SUMS"
for file in "${databases[@]/%/.dump}" artifacts.tar; do
  grep --quiet "^[0-9a-f]\{64\}  $file\$" "$source/SHA256SUMS" || fail "$source/SHA256SUMS does not name $file"
done
damaged=$(cd "$source" && sha256sum --check --strict --quiet SHA256SUMS 2> /dev/null) ||
  fail "$source is damaged: ${damaged//$'\n'/, }"
[[ -d ${ARTIFACTS:?the folder of the artifacts of MLflow} && -w $ARTIFACTS ]] || fail "there is no folder $ARTIFACTS to write in"
[[ -z $(ls --almost-all "$ARTIFACTS") ]] || fail "$ARTIFACTS is not empty"
for database in "${databases[@]}"; do
  tables=$(psql --no-psqlrc --quiet --tuples-only --no-align --dbname="$database" \
    --command="select count(*) from pg_tables where schemaname not in ('pg_catalog', 'information_schema')") ||
    fail "the database $database cannot be read"
  [[ $tables == 0 ]] || fail "the database $database is not empty: it has $tables tables"
done

for database in "${databases[@]}"; do
  pg_restore --exit-on-error --single-transaction --dbname="$database" "$source/$database.dump" ||
    fail "the database $database could not be restored: begin again with a new PostgreSQL"
done
tar --extract --file="$source/artifacts.tar" --directory="$ARTIFACTS" --no-same-owner ||
  fail "the artifacts could not be restored: begin again with a new PostgreSQL and an empty $ARTIFACTS"
echo "$source is restored"
