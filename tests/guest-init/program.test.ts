// The program: how it is found and started, and how its end is told.

import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildTools, makeTestImage, type TestImage } from './build.ts'
import { Machine, type MachineOptions, type ProcessOptions } from './machine.ts'

let image: TestImage

beforeAll(() => {
  buildTools()
  image = makeTestImage()
})

afterAll(() => image[Symbol.dispose]())

function boot(process: ProcessOptions, options: Partial<MachineOptions> = {}): Machine {
  return new Machine({ device: image.device, process, ...options })
}

/** Runs a shell script as the program and returns its output; the script must end with status 0. */
async function run(script: string, process: ProcessOptions = {}, options: Partial<MachineOptions> = {}) {
  await using machine = boot({ argv: ['sh', '-c', script], ...process }, options)
  expect(await machine.exit(), machine.text(3)).toBe('status 0')
  return machine.text(2)
}

describe('end of the program', () => {
  it.each(['plain', 'sanitized'] as const)(
    'loses no output of a program that ends at once (%s)',
    async (binary) => {
      await using machine = boot({ argv: ['sh', '-c', 'echo hi; echo no >&2; exit 7'] }, { binary })
      expect(await machine.exit()).toBe('status 7')
      expect(machine.text(2)).toBe('hi\n')
      expect(machine.text(3)).toBe('no\n')
      const others = machine.frames.map((frame) => frame.name).filter((name) => name !== 'data')
      expect(others).toEqual(['ready', 'started', 'end', 'end', 'exited'])
      expect(machine.reports).toBe('1 100 9\npower-off\n')
    },
  )

  it('tells the signal that killed it', async () => {
    await using machine = boot({ argv: ['sh', '-c', 'sleep 1000'] })
    await machine.frame('started')
    machine.signal(9)
    expect(await machine.exit()).toBe('signal 9')
  })

  it.each(['kill -9 $$', 'kill -9 1; sleep 1000', '(kill -9 1) & wait; sleep 1000'])(
    'is ended by a SIGKILL of its own, as in a machine of its own: %s',
    async (script) => {
      await using machine = boot({ argv: ['sh', '-c', script] })
      expect(await machine.exit()).toBe('signal 9')
    },
  )

  it('is ended by a SIGKILL of its own as any user', async () => {
    await using machine = boot({ argv: ['sh', '-c', 'kill -9 $$'], user: 'web' })
    expect(await machine.exit()).toBe('signal 9')
  })

  it('is ended by nobody who may not', async () => {
    await using machine = boot({
      argv: ['sh', '-c', 'su -s /bin/sh web -c "kill -9 1" 2>&1; exit 4'],
    })
    expect(await machine.exit()).toBe('status 4')
    expect(machine.text(2)).toMatch(/not permitted/i)
  })

  it('leaves process 1 of a namespace further in alone', async () => {
    await using machine = boot({
      argv: ['sh', '-c', 'unshare --pid --fork --mount-proc sh -c "kill -9 1; echo alive"; exit 4'],
    })
    expect(await machine.exit()).toBe('status 4')
    expect(machine.text(2)).toBe('alive\n')
  })

  it('takes everything the program has started with it', async () => {
    await using machine = boot({ argv: ['sh', '-c', '(sleep 1000 & sleep 1000) & exit 3'] })
    expect(await machine.exit()).toBe('status 3')
  })

  it('keeps a signal that comes before the program runs', async () => {
    await using machine = boot({ argv: ['sleep', '1000'] })
    await machine.until(() => machine.reports !== '')
    machine.signal(9)
    expect(await machine.exit()).toBe('signal 9')
    expect(machine.find('started')).toBeDefined()
  })

  it('delivers signals to the program', async () => {
    const argv = [
      'sh',
      '-c',
      'trap "echo got it; exit 5" USR1; echo ready; while :; do sleep 1000 & wait; done',
    ]
    await using machine = boot({ argv })
    await machine.until(() => machine.text(2).includes('ready'))
    machine.signal(10)
    expect(await machine.exit()).toBe('status 5')
    expect(machine.text(2)).toBe('ready\ngot it\n')
  })

  it('delivers a signal to the whole process group', async () => {
    const argv = ['sh', '-c', 'trap : INT; (echo asleep; exec sleep 1000); echo "sleep ended"; exit 4']
    await using machine = boot({ argv })
    await machine.until(() => machine.text(2) === 'asleep\n')
    machine.signal(2, true)
    expect(await machine.exit()).toBe('status 4')
    expect(machine.text(2)).toBe('asleep\nsleep ended\n')
  })

  it('reaps orphans that are left to the machine', async () => {
    await using machine = boot({ argv: ['cat'], stdin: true })
    await machine.frame('started')
    const { pid } = machine
    execFileSync('nsenter', ['-t', String(pid), '-p', 'sh', '-c', '(sleep 0.01; exit 1) & (exit 2) &'])
    const zombies = () =>
      readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').length === 1
    while (!zombies()) await machine.until(() => true)
    await machine.feed(Buffer.alloc(0))
    expect(await machine.exit()).toBe('status 0')
  })
})

describe('a program that cannot be executed', () => {
  it.each([
    [['nosuch', 'x'], 2, 'nosuch'],
    [['/bin/not-executable'], 13, '/bin/not-executable'],
    [['not-executable'], 13, 'not-executable'],
    [['bad-format'], 8, 'bad-format'],
    [['/srv'], 13, '/srv'],
    [[''], 2, ''],
  ])('%j gives errno %d', async (argv, error, text) => {
    await using machine = boot({ argv, env: ['PATH=/nowhere:/bin'] })
    const { payload } = await machine.frame('exec-failed')
    expect(payload.readInt32LE(0)).toBe(error)
    expect(payload.toString('utf8', 8)).toBe(text)
    await machine.powerOff()
    expect(machine.frames.map((frame) => frame.name)).toEqual(['ready', 'exec-failed'])
    expect(machine.log).toContain(`(errno ${error})`)
  })
})

describe('what the program finds', () => {
  it('the environment of the bundle, and what is added where it is missing', async () => {
    const environment = await run('env | grep -v -e ^SHLVL -e ^PWD; echo ~', { env: ['A=1 2', 'B='] })
    expect(environment.trim().split('\n').sort()).toEqual(
      [
        '/root',
        'A=1 2',
        'B=',
        'HOME=/root',
        'HOSTNAME=web',
        'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      ].sort(),
    )
    expect(await run('echo $HOME $HOSTNAME $PATH', { env: ['HOME=/h', 'HOSTNAME=n', 'PATH=/bin'] })).toBe(
      '/h n /bin\n',
    )
  })

  it('PID 1, its own session, an empty signal mask, default dispositions, mask 022 and limits', async () => {
    const status = await run(
      'echo $$; umask; ulimit -Sn; grep -E "^(SigBlk|SigIgn|CapEff)" /proc/self/status; cat /proc/1/stat',
    )
    const lines = status.trim().split('\n')
    expect(lines.slice(0, 3)).toEqual(['1', '0022', '1024'])
    expect(status).toMatch(/SigBlk:\s0+\n/)
    expect(status).toMatch(/SigIgn:\s0+\n/)
    expect(lines.at(-1)?.split(' ').slice(4, 6)).toEqual(['1', '1'])
  })

  it('the mounts that container programs expect, and nothing of the machine', async () => {
    const mounts = await run('cat /proc/mounts')
    const targets = mounts
      .trim()
      .split('\n')
      .map((line) => line.split(' ').slice(1, 3).join(' '))
    expect(targets).toEqual(
      expect.arrayContaining([
        '/ overlay',
        '/proc proc',
        '/sys sysfs',
        '/dev tmpfs',
        '/dev/pts devpts',
        '/dev/shm tmpfs',
        '/dev/mqueue mqueue',
      ]),
    )
    expect(targets.filter((target) => /image|layers|root/.test(target))).toEqual([])
    const devices = await run(
      'for link in fd stdin stdout stderr; do readlink /dev/$link; done; ls -A /run; stat -c %a /dev/shm; echo x > /dev/shm/x',
    )
    expect(devices).toBe('/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\nstale\n1777\n')
  })

  it('a root that can be written, and one that cannot', async () => {
    expect(await run('echo x > /srv/new && cat /srv/new')).toBe('x\n')
    const bundle = { root: { device: '/dev/xvda', filesystem: 'squashfs', upper: { kind: 'none' } } }
    expect(
      await run('cat /etc/hostname; touch /srv/new 2>&1 || pwd', { cwd: '/made/here' }, { bundle }),
    ).toBe('web\ntouch: /srv/new: Read-only file system\n/made/here\n')
  })

  it('an upper layer of the size that was asked for', async () => {
    const upper = { kind: 'tmpfs', sizeBytes: 1 << 20 }
    const bundle = { root: { device: '/dev/xvda', filesystem: 'squashfs', upper } }
    const script = 'dd if=/dev/zero of=/big bs=1024 count=2048 2>&1 | grep -c "No space"'
    expect(await run(script, {}, { bundle })).toBe('1\n')
  })

  it('names and resolver, written in its own root through no link', async () => {
    expect(await run('cat /etc/hostname; hostname; cat /etc/resolv.conf; cat /srv/victim')).toBe(
      'web\nweb\nnameserver 10.75.0.1\nnameserver fdd4:1476:6c7e::1\nsearch guest\noptions edns0\nuntouched\n',
    )
    const hosts = await run('cat /etc/hosts', {}, { bundle: { hostname: 'db.example.org' } })
    expect(hosts).toContain('127.0.0.1\tlocalhost\n')
    expect(hosts).toContain('127.0.1.1\tdb.example.org db\n')
    expect(hosts).toContain('10.75.0.9\tdb db.guest\n')
  })

  it('the loopback interface up', async () => {
    expect(await run('cat /sys/class/net/lo/flags')).toBe('0x9\n')
  })

  it('its working directory, made where it is missing', async () => {
    expect(await run('pwd; stat -c "%u %a" .', { cwd: '/a/b/c' })).toBe('/a/b/c\n0 755\n')
  })

  it('its user and groups, and standard files it can open again', async () => {
    const script = 'id; echo $HOME; echo again > /dev/stdout; echo error > /dev/stderr'
    expect(await run(script, { user: 'web', groups: ['4'] })).toBe(
      'uid=1000(web) gid=1001(web) groups=4(adm),46(usb),1001(web)\n/home/web\nagain\n',
    )
    expect(await run('id', { user: '4242:46' })).toBe('uid=4242 gid=46(usb) groups=46(usb)\n')
  })

  it('/dev/null for its input unless it was given one', async () => {
    expect(await run('readlink /proc/self/fd/0; cat | wc -c')).toBe('/dev/null\n0\n')
  })

  it('a control group namespace where the machine has version 2', async () => {
    const group = await run('grep ^0:: /proc/self/cgroup || echo none')
    expect(['0::/\n', 'none\n']).toContain(group)
  })
})

describe('init systems', () => {
  it('find an empty /run in memory and the variable that tells them where they are', async () => {
    await using machine = boot({
      argv: ['/sbin/init', '-c', 'echo $container; grep " /run" /proc/mounts; ls -A /run'],
    })
    expect(await machine.exit()).toBe('status 0')
    expect(machine.text(2)).toMatch(/^oci\n\S+ \/run tmpfs .*\n\S+ \/run\/lock tmpfs .*\nlock\n$/)
  })
})

describe('the initrd', () => {
  it('is emptied but for guest-init and the links that the kernel needs', async () => {
    await using machine = boot({ argv: ['cat'], stdin: true })
    await machine.frame('started')
    const root = `/proc/${machine.pid}/root`
    expect(readdirSync(root).sort()).toEqual([
      'dev',
      'image',
      'init',
      'layers',
      'proc',
      'root',
      'sbin',
      'sys',
    ])
    expect(readdirSync(`${root}/sbin`).sort()).toEqual(['poweroff', 'reboot'])
  })
})
