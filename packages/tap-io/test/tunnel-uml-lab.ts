/*
 * A guest: a Linux kernel as an ordinary process (user-mode Linux, Debian's package of that name), which has the tunnel devices
 * that the kernel below may have been built without.
 *
 *     guest: eth0 192.0.2.2, its tunnels === packet socket on eth0 of a wire's namespace
 *
 * Its root is this machine's, read-only, so that what is installed here is there as well. Commands are files in a folder that
 * both see: the guest looks for `N.cmd`, runs it, and leaves `N.out` and `N.rc`.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { until } from './lab.ts'
import { scratch, start, type Wire } from './tunnel-lab.ts'

/** The guest's first program. */
const INIT = (folder: string): string => `#!/bin/bash
export PATH=/run/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LC_ALL=C
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs run /run
mkdir -p /run/io /run/bin /run/root/lib
mount -t hostfs none /run/io -o ${folder}
ln -s /usr/lib/uml/modules /run/root/lib/modules
printf '#!/bin/bash\\nexec /sbin/modprobe -d /run/root "$@"\\n' > /run/bin/modprobe; chmod +x /run/bin/modprobe
echo /run/bin/modprobe > /proc/sys/kernel/modprobe
mount -t tmpfs tmp /tmp
modprobe ipv6
ip link set lo up; ip link set vec0 name eth0; ip link set eth0 up
# The switches for offloads hold when they are set after it is up.
ethtool -K eth0 tx off tso off gso off gro off > /run/io/log 2>&1
mkfifo /run/tick; exec 3<>/run/tick
echo > /run/io/ready
while [ ! -e /run/io/halt ]; do
  for c in /run/io/*.cmd; do
    [ -e "$c" ] || continue
    n=\${c%.cmd}; mv "$c" "$n.sh"
    ( bash "$n.sh" > "$n.out" 2>&1 3>&-; echo $? > "$n.tmp"; mv "$n.tmp" "$n.rc" ) &
  done
  read -t 0.02 -u 3
done
echo o > /proc/sysrq-trigger; sleep 5
`

/** A guest that runs. */
export interface Guest {
  /** Runs a script of bash's; gives what it said, or throws where it fails. */
  run(script: string): Promise<string>
  end(): Promise<void>
}

/** Boots a guest on a bare wire, which takes 2 to 3 s. */
export async function startGuest(wire: Wire, mac: string): Promise<Guest> {
  const [netns] = wire.far as [string]
  const dir = mkdtempSync(join(scratch, 'uml-'))
  const io = join(dir, 'io')
  for (const name of ['io', 'uml']) mkdirSync(join(dir, name))
  writeFileSync(join(dir, 'init'), INIT(io), { mode: 0o755 })
  const linux = [
    'linux.uml',
    'mem=192M',
    'root=/dev/root',
    'rootfstype=hostfs',
    'rootflags=/',
    'ro',
    `init=${dir}/init`,
  ]
  const own = [
    `uml_dir=${dir}/uml`,
    'umid=guest',
    'con=null',
    'con0=null,fd:1',
    'con1=null',
    'ssl=null',
    'quiet',
    'panic=-1',
  ]
  // The process sees all as read-only but for its folder.
  const fence = `mount --bind ${dir} ${dir} && mount -o remount,bind,ro / && TMPDIR=/dev/shm exec "$@"`
  const process = await start(
    netns,
    /^/,
    ...['unshare', '--mount', '--propagation', 'private', 'sh', '-c', fence, 'guest', ...linux, ...own],
    `vec0:transport=raw,ifname=eth0,mac=${mac}`,
  )
  let scripts = 0
  const guest: Guest = {
    async run(script) {
      const file = join(io, `${scripts++}`)
      writeFileSync(`${file}.new`, script)
      renameSync(`${file}.new`, `${file}.cmd`)
      await until(() => existsSync(`${file}.rc`), 20_000)
      const said = readFileSync(`${file}.out`, 'utf8')
      if (readFileSync(`${file}.rc`, 'utf8').trim() !== '0') throw new Error(`${script}\n${said}`)
      return said
    },
    async end() {
      writeFileSync(join(io, 'halt'), '')
      await process.end()
    },
  }
  try {
    await until(() => existsSync(join(io, 'ready')), 20_000)
  } catch (error) {
    await process.end('SIGKILL')
    throw new Error(`the guest did not boot: ${process.said.slice(-2000)}`, { cause: error })
  }
  return guest
}
