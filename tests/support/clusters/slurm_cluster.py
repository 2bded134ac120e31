"""A real Slurm of two nodes on this machine, from Debian's packages, installed nowhere.

The packages are unpacked into a folder; munged, slurmctld and a slurmd for each node run from there
with a configuration of their own, without accounting (so without a working sacct).
"""

from __future__ import annotations

import os
import resource
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from support.clusters.processes import all_pids, descendants, kill, title

PACKAGES = (
    *("libhwloc15", "liblua5.1-0", "libmunge2", "munge"),
    *("slurm-wlm-basic-plugins", "slurm-client", "slurmctld", "slurmd"),
)
NODES = ("one", "two")
CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={run}/munge.socket
CredType=cred/munge
PluginDir={plugins}
StateSaveLocation={run}/state
SlurmdSpoolDir={run}/spool-%n
SlurmctldPidFile={run}/slurmctld.slurmpid
SlurmdPidFile={run}/slurmd-%n.slurmpid
SlurmctldLogFile={run}/slurmctld.log
SlurmdLogFile={run}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_min_interval=200000,batch_sched_delay=0,sched_interval=2
SlurmdTimeout=5
MinJobAge=300
InactiveLimit=0
KillWait=2
{nodes}
PartitionName=test Nodes={names} Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""


class NoSlurm(Exception):  # noqa: N818  the tests skip
    """Why there can be no Slurm here."""


class SlurmCluster:
    """Two nodes of one CPU each; `start` sets the environment of this process."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.run = folder, folder / "run"
        self.root = folder / "root"
        self.libraries = self.root / "usr/lib" / f"{os.uname().machine}-linux-gnu"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def environment(self) -> dict[str, str]:
        """Variables that commands of Slurm need."""
        return {
            "SLURM_CONF": str(self.run / "slurm.conf"),
            "LD_LIBRARY_PATH": f"{self.libraries}:{self.libraries / 'slurm-wlm'}",
            "PATH": f"{self.root / 'usr/bin'}:{os.environ['PATH']}",
        }

    def start(self) -> None:
        """Start all of it. NoSlurm if that is impossible here."""
        self._unpack()
        self.run.mkdir(mode=0o755)
        (self.run / "munge").mkdir(mode=0o700)
        for name in ("state", *(f"spool-{node}" for node in NODES)):
            (self.run / name).mkdir()
        key = self.run / "munge/key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        munge = {"key-file": key, "socket": self.run / "munge.socket"}
        munge |= {name: self.run / "munge" / name for name in ("pid-file", "log-file", "seed-file")}
        flags = [f"--{name}={value}" for name, value in munge.items()]
        self._start("munged", "--force", "--foreground", *flags)
        self._wait(lambda: (self.run / "munge.socket").exists(), "munged")
        ports = _free_ports(1 + len(NODES))
        nodes = [
            f"NodeName={name} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 Port={port} "
            "CPUs=1 RealMemory=3000 State=UNKNOWN"
            for name, port in zip(NODES, ports[1:], strict=True)
        ]
        text = CONFIGURATION.format(
            host=socket.gethostname(),
            ports=ports,
            run=self.run,
            plugins=self.libraries / "slurm-wlm",
            nodes="\n".join(nodes),
            names=",".join(NODES),
        )
        (self.run / "slurm.conf").write_text(text)
        self._start("slurmctld-wlm", "-D", "-i")
        for node in NODES:
            self.start_node(node)
        self._wait(lambda: self.idle() == len(NODES), "slurmd")

    def start_node(self, node: str) -> None:
        """Start the daemon of a node."""
        step = self.root / "usr/sbin/slurmstepd-wlm"
        self._start("slurmd-wlm", "-D", "-N", node, "-d", str(step), key=node)

    def kill_node(self, node: str) -> None:
        """Kill a node with all that runs there, as a power cut does."""
        jobs = self.output("squeue", "--noheader", f"--nodelist={node}", "--format=%A").split()
        steps = [
            pid
            for pid, title in _stepds(self.root).items()
            if any(f"[{job}." in title for job in jobs)
        ]
        for pid in [self.processes[node].pid, *steps, *descendants(steps)]:
            kill(pid)
        self.processes.pop(node).wait()
        # Slurm would notice by itself after half a minute.
        self.output("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=power")

    def hurry(self) -> None:
        """Let jobs that are queued again start now: Slurm has them wait for two minutes."""
        queued = self.output("squeue", "--noheader", "--array", "--format=%i %t %r").splitlines()
        for line in queued:
            job, state, reason = line.split(maxsplit=2)
            if state == "PD" and reason == "BeginTime":
                self.output("scontrol", "update", f"JobId={job}", "StartTime=now")

    def let_time_run_out(self) -> None:
        """Leave the running jobs one to two minutes, so that Slurm warns them at its next look."""
        running = self.output("squeue", "-h", "--states=R", "--array", "--format=%i %M")
        for job, used in map(str.split, running.splitlines()):
            self._limit(job, int(used.split(":")[-2]) + 2)

    def limit_time(self, minutes: int) -> None:
        """Give all jobs this time limit, counted from their start."""
        for job in self.output("squeue", "-h", "--array", "--format=%i").split():
            self._limit(job, minutes)

    def _limit(self, job: str, minutes: int) -> None:
        self.output("scontrol", "update", f"JobId={job}", f"TimeLimit={minutes}")

    def running(self) -> list[int]:
        """Process ids of the workers: what the steps of jobs run, with their children."""
        steps = [pid for pid, title in _stepds(self.root).items() if ".batch]" not in title]
        return descendants(steps)

    def idle(self) -> int:
        """Number of nodes that wait for work."""
        return self.output("sinfo", "-h", "-N", "-o", "%t").split().count("idle")

    def output(self, *words: str) -> str:
        """What a command of Slurm prints, or ''."""
        environment = {**os.environ, **self.environment()}
        done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=30)
        return done.stdout

    def stop(self) -> None:
        """End all of it, jobs too."""
        if "slurmctld-wlm" in self.processes:
            self.output("scancel", "--user=root")
        steps = list(_stepds(self.root))
        for pid in [*steps, *descendants(steps)]:
            kill(pid)
        for process in reversed(self.processes.values()):
            process.kill()
            process.wait()
        self.processes.clear()

    def _unpack(self) -> None:
        if os.getuid() != 0:
            raise NoSlurm("Slurm's daemons run as root here")
        if not all(map(shutil.which, ("apt-get", "dpkg"))):
            raise NoSlurm("Slurm comes from Debian's packages, and this is no Debian")
        debs = self.folder / "debs"
        debs.mkdir()
        words = ["apt-get", "download", "-q", *PACKAGES]
        done = subprocess.run(words, cwd=debs, capture_output=True, text=True, timeout=120)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["apt-get failed"]
            raise NoSlurm(f"the packages of Slurm cannot be had: {lines[-1]}")
        for deb in debs.glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(deb), str(self.root)], check=True)

    def _start(self, program: str, *words: str, key: str = "") -> None:
        with (self.run / f"{key or program}.out").open("ab") as log:
            self.processes[key or program] = subprocess.Popen(
                [str(self.root / "usr/sbin" / program), *words],
                env={**os.environ, **self.environment()},
                stdout=log,
                stderr=log,
                cwd=self.run,
                # A step killed at a bad moment would leave its memory in the folder of a job.
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
            )

    def _wait(self, ready: object, what: str) -> None:
        assert callable(ready)
        end = time.monotonic() + 30
        while not ready():
            if time.monotonic() > end:
                logs = [path.read_text()[-1000:] for path in self.run.glob("*.out")]
                raise NoSlurm(f"{what} does not start: {logs}")
            time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _stepds(root: Path) -> dict[int, str]:
    """The title of each process of Slurm that runs a job, by its id: 'slurmstepd-wlm: [12.0]'."""
    stepds = {}
    for pid in all_pids():
        with suppress(OSError):
            if Path(f"/proc/{pid}/exe").readlink().is_relative_to(root):
                stepds[pid] = title(pid)
    return {pid: text for pid, text in stepds.items() if text.startswith("slurmstepd")}
