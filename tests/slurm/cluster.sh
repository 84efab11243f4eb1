# shellcheck shell=bash
# A SLURM cluster of two nodes on this machine, in a scratch folder: cluster_start FOLDER, cluster_stop. Nothing of the system is
# touched: munge has its own key and socket, all daemons have their own ports, files and configuration ($SLURM_CONF).

# free_port: a TCP port that nobody listens on, below those that Linux gives to connections (from 32768 on), which could take it meanwhile.
free_port() {
  local port
  while port=$((12000 + RANDOM % 20000)); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
}

# cluster_available: says why there can be no cluster here, if so.
cluster_available() {
  local command
  for command in slurmctld slurmd sbatch srun munged mungekey; do
    PATH=$PATH:/usr/sbin command -v $command >/dev/null || { echo "skipped: no $command (scripts/setup --slurm)"; return 1; }
  done
  [ "$(id -u)" = 0 ] || { echo "skipped: starting a cluster needs root"; return 1; }
}

cluster_start() {
  local folder=$1 host node
  host=$(hostname -s)
  PATH=$PATH:/usr/sbin:/sbin
  mkdir -p "$folder"/{state,spool-n0,spool-n1}
  chmod 755 "$folder"
  mkdir -m 755 "$folder/munge"
  mungekey --create --keyfile="$folder/munge/key"
  munged --foreground --force --key-file="$folder/munge/key" --socket="$folder/munge/socket" --pid-file="$folder/munge/pid" \
    --log-file="$folder/munge/log" --seed-file="$folder/munge/seed" >"$folder/munge.log" 2>&1 &
  cluster_pids=($!)
  # cred_expire: how long a requeued job waits before it may start again.
  cat >"$folder/slurm.conf" <<CONF
ClusterName=orchard
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket,cred_expire=5
CryptoType=crypto/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool-%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
InactiveLimit=0
KillWait=5
SchedulerParameters=sched_interval=1,bf_interval=1
NodeName=n0 NodeHostname=$host NodeAddr=127.0.0.1 Port=$(free_port) CPUs=2 RealMemory=4000
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$(free_port) CPUs=2 RealMemory=4000
PartitionName=test Nodes=n0,n1 Default=YES MaxTime=INFINITE State=UP
CONF
  export SLURM_CONF=$folder/slurm.conf
  wait_for 10 test -S "$folder/munge/socket" || { cat "$folder/munge.log"; return 1; }
  slurmctld -D >"$folder/slurmctld.log" 2>&1 &
  cluster_pids+=($!)
  for node in n0 n1; do
    slurmd -D -N $node >"$folder/slurmd-$node.log" 2>&1 &
    cluster_pids+=($!)
  done
  wait_for 30 two_nodes_idle || { tail -n 20 "$folder"/slurm*.log; return 1; }
}

two_nodes_idle() { [ "$(sinfo -h -t idle -o %D 2>/dev/null)" = 2 ]; }

# wait_for SECONDS COMMAND...: until the command succeeds.
wait_for() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.2
  done
}

job_state() { scontrol -o show job "$1" 2>/dev/null | grep -o ' JobState=[A-Z_]*' | cut -d= -f2 | sort -u | tr '\n' ' '; }
job_is() { [ "$(job_state "$1")" = "$2 " ]; }
job_ended() { [[ $(job_state "$1") =~ ^(COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL|OUT_OF_MEMORY|\ )+$ ]]; }

cluster_stop() {
  scancel -u root >/dev/null 2>&1 || true
  kill "${cluster_pids[@]}" 2>/dev/null || true
  wait "${cluster_pids[@]}" 2>/dev/null || true
}
