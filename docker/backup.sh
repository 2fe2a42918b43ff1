#!/usr/bin/env bash
# Write a backup of PostgreSQL's three databases and MLflow's artifacts, while the servers run: backup.sh [NAME]
#
# The server and its superuser are PGHOST, PGPORT, PGUSER and PGPASSWORD; ARTIFACTS is MLflow's artifact folder, BACKUPS the
# folder that gets the folder NAME (by default the time in UTC). NAME is there whole or not at all.
set -euo pipefail
umask 077

fail() {
  echo "backup: $*" >&2
  exit 1
}

name=${1:-$(date --utc +%Y-%m-%dT%H-%M-%SZ)}
target=${BACKUPS:?the folder for backups}/$name
[[ $name =~ ^[A-Za-z0-9_-][A-Za-z0-9._-]*$ ]] || fail "$name is no name: letters, digits, '.', '_' and '-'"
[[ -d ${ARTIFACTS:?the folder of the artifacts of MLflow} ]] || fail "there is no folder $ARTIFACTS"
[[ -w $BACKUPS ]] || fail "user $(id --user) may not write in $BACKUPS"
[[ ! -e $target ]] || fail "$target is there already"

draft=$(mktemp --directory "$BACKUPS/.$name.XXXXXX")
trap 'rm --recursive --force "$draft"' EXIT
# The databases first: what they tell of has its artifacts, which MLflow writes before it tells of them.
for database in mlflow mlflow_auth prefect; do
  pg_dump --format=custom --file="$draft/$database.dump" --dbname="$database" || fail "the database $database could not be dumped"
done
# 1 says that a file changed meanwhile: of a run under way, of which no database tells yet.
tar --create --file="$draft/artifacts.tar" --directory="$ARTIFACTS" . || (($? == 1)) || fail "$ARTIFACTS could not be copied"
(cd "$draft" && sha256sum -- *.dump artifacts.tar > SHA256SUMS)
sync --file-system "$draft"
mv --no-target-directory "$draft" "$target"
echo "$target"
