// An image and a job as a scripted core host answers with them.
import type { ImageDetails, ImageSummary, Job } from '../../../core/api/methods.ts'
import { type Script, ScriptedFailure } from '../../../core/client/scripted-core.fixture.ts'

export const failure = (code: string, message: string) => () => {
  throw new ScriptedFailure({ code, message })
}
export const digest = `sha256:${'ab'.repeat(32)}`
export const summary: ImageSummary = {
  reference: 'docker.io/library/busybox:1.36',
  digest,
  sizeBytes: 4_261_502,
  platform: 'linux/amd64',
  usedBy: [],
}
export const layer = (digits: string, more: Partial<ImageDetails['layers'][number]> = {}) => ({
  digest: `sha256:${digits.repeat(32)}`,
  diffId: `sha256:${digits.repeat(32)}`,
  sizeBytes: 2_000_000,
  mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
  ...more,
})
export const details: ImageDetails = {
  ...summary,
  configDigest: digest,
  architecture: 'amd64',
  os: 'linux',
  layers: [
    layer('11', { entries: 400, contentBytes: 5_000_000 }),
    layer('22', { entries: 1, contentBytes: 12 }),
  ],
  history: [
    { createdBy: '/bin/sh -c #(nop) ADD file:1 in /', empty: false, comment: '' },
    { createdBy: 'ENV A=b', empty: true, comment: '' },
    { createdBy: `RUN ${'x'.repeat(60)}`, empty: false, comment: 'buildkit' },
  ],
  run: {
    entrypoint: [],
    command: [],
    env: [],
    cwd: '/',
    user: '',
    exposedPorts: [],
    volumes: [],
    labels: {},
  },
}
export const job: Job = {
  id: 'j',
  kind: 'pull',
  title: 'Pull app',
  state: 'done',
  startedAt: '2026-11-24T06:00:00.000Z',
  progress: { phase: 'sync', bytesDone: 0, bytesTotal: 0, layers: [] },
  references: ['docker.io/library/app:1'],
}
export const jobs = (last: Partial<Job> = {}): Script['methods'] => ({
  'events.subscribe': () => ({ revision: 0 }),
  'jobs.get': () => ({ ...job, ...last }),
})
