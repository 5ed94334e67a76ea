// An image for machines that reach no public registry: Debian's static busybox with its programs as links, written
// as a docker-archive, the form that `docker save` writes.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

export const demoImageName = 'localhost/busybox:latest'

const folders = ['bin', 'dev', 'etc', 'home', 'proc', 'root', 'run', 'sys', 'tmp', 'usr/bin', 'var/log']

const files: Readonly<Record<string, string>> = {
  'etc/passwd': 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n',
  'etc/group': 'root:x:0:\nnogroup:x:65534:\n',
  'etc/os-release': 'PRETTY_NAME="Bulkhead demo (busybox)"\nID=busybox\n',
  'etc/profile': 'export PS1="\\u@\\h:\\w\\$ "\n',
}

const config = {
  architecture: 'amd64',
  os: 'linux',
  created: '2024-01-01T00:00:00Z',
  config: {
    Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
    Cmd: ['sh'],
    WorkingDir: '/',
  },
}

/** Writes the archive to `target`. `busybox` is a statically linked one, Debian's `/bin/busybox` of busybox-static. */
export async function writeDemoImage(target: string, busybox = '/bin/busybox'): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'bulkhead-demo-'))
  try {
    const root = join(folder, 'root')
    for (const name of folders) await mkdir(join(root, name), { recursive: true })
    await chmod(join(root, 'tmp'), 0o1777)
    await copyFile(busybox, join(root, 'bin/busybox'))
    await chmod(join(root, 'bin/busybox'), 0o755)
    const { stdout } = await run(busybox, ['--list'])
    for (const applet of stdout.split('\n').filter((name) => name !== '' && name !== 'busybox'))
      await symlink('busybox', join(root, 'bin', applet))
    for (const [name, text] of Object.entries(files)) await writeFile(join(root, name), text)
    await packLayer(root, join(folder, 'layer.tar'))
    const diffId = createHash('sha256')
      .update(await readFile(join(folder, 'layer.tar')))
      .digest('hex')
    const configText = JSON.stringify({
      ...config,
      rootfs: { type: 'layers', diff_ids: [`sha256:${diffId}`] },
      history: [{ created: config.created, created_by: 'busybox-static of Debian' }],
    })
    const configName = `${createHash('sha256').update(configText).digest('hex')}.json`
    await writeFile(join(folder, configName), configText)
    await writeFile(
      join(folder, 'manifest.json'),
      JSON.stringify([{ Config: configName, RepoTags: [demoImageName], Layers: ['layer.tar'] }]),
    )
    await run('tar', ['-C', folder, '-cf', target, 'manifest.json', configName, 'layer.tar'])
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** The same tree gives the same bytes. */
async function packLayer(root: string, target: string): Promise<void> {
  await run('tar', [
    '-C',
    root,
    '--sort=name',
    '--owner=0',
    '--group=0',
    '--numeric-owner',
    '--mtime=@1704067200',
    '-cf',
    target,
    '.',
  ])
}

if (import.meta.main) {
  const [target] = process.argv.slice(2)
  if (target === undefined) {
    process.stderr.write('Usage: node build/demo-image.ts TARGET.tar\n')
    process.exit(2)
  }
  await writeDemoImage(target)
}
