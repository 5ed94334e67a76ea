// Runs in dom0: uses a real xenstored over the transport named in `argv`, and prints what came of it as JSON.
import { domainId } from '../../../core/xen/domain-id.ts'
import { isXenError } from '../../../core/xen/errors.ts'
import type { XenstoreNodes } from '../../../core/xen/xenstore/nodes.ts'
import { openXenstore } from '../../../core/xen/xenstore/open.ts'
import { ownedBy, readableBy } from '../../../core/xen/xenstore/permissions.ts'

const { transport } = JSON.parse(process.argv[2] ?? '{}') as { transport: 'socket' | 'device' }
using xenstore = await openXenstore({ transport })
using other = await openXenstore({ transport: 'socket' })
const root = `/test-${transport}`

/** More names than one message can list; how many are there afterwards, counted over another connection. */
const writeMany = async (nodes: XenstoreNodes, folder: string) => {
  const names = Array.from({ length: 400 }, (_, index) => `quite-a-long-name-for-a-node-${index}`)
  await Promise.all(names.map((name) => nodes.write(`${folder}/${name}`, name)))
}
const countOwnValues = async (folder: string) => {
  const names = (await xenstore.list(folder)) ?? []
  const values = await Promise.all(names.map((name) => other.read(`${folder}/${name}`)))
  return values.filter((value, index) => value === names[index]).length
}

await writeMany(xenstore, `${root}/alone`)
const alone = await countOwnValues(`${root}/alone`)
await xenstore.transaction((nodes) => writeMany(nodes, `${root}/together`))
const inTransaction = await countOwnValues(`${root}/together`)

// Somebody else is faster, twice.
let runs = 0
const value = await xenstore.transaction(async (nodes) => {
  const before = Number((await nodes.read(`${root}/counter`)) ?? 0)
  runs++
  if (runs < 3) await other.write(`${root}/counter`, String(10 * runs))
  await nodes.write(`${root}/counter`, String(before + 1))
  return before + 1
})

await xenstore.write(`${root}/shown`, 'value', { permissions: readableBy(domainId(5)) })
const permissions = await other.getPermissions(`${root}/shown`)
const missing = [(await xenstore.read(`${root}/none`)) ?? null, (await xenstore.list(`${root}/none`)) ?? null]

// A flood of events, and the last change is seen whatever was merged.
let isWatchComplete = false
{
  await using watch = await xenstore.watch(`${root}/flood`)
  void writeMany(other, `${root}/flood`).then(() => other.write(`${root}/flood/end`, '1'))
  for await (const _changed of watch) {
    isWatchComplete = (await xenstore.read(`${root}/flood/end`)) === '1'
    if (isWatchComplete) break
  }
}

const state = xenstore.waitFor(`${root}/state`, (text) => (text === '4' ? 'connected' : undefined))
await other.write(`${root}/state`, '2')
await other.write(`${root}/state`, '4')
const waited = await state

const refused = await xenstore
  .setPermissions(`${root}/none/below`, ownedBy(domainId(1)))
  .catch((error: unknown) => (isXenError(error) ? error.errorName : String(error)))
const introduced = [await xenstore.isIntroduced(domainId(0)), await xenstore.isIntroduced(domainId(777))]
await xenstore.remove(root)
process.stdout.write(
  `${JSON.stringify({
    alone,
    inTransaction,
    counter: { value, runs },
    permissions,
    missing,
    isWatchComplete,
    waited,
    refused,
    introduced,
    left: (await other.list(root)) ?? null,
  })}\n`,
)
