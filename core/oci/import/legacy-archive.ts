// Archives of `docker save` before version 1.10: `repositories` with the names, and for each layer a folder with its
// `layer.tar` and the `json` of what was then an image of its own, leading to its parent. A config is made of them as
// docker itself does when it loads one (moby image/v1 MakeConfigFromV1Config, image/tarexport legacyLoad).

import { z } from 'zod'
import { checkSchema } from '../check-schema.ts'
import { OciError } from '../errors.ts'
import { COMPRESSION_MAGIC_BYTES, detectCompression } from '../layer/compression.ts'
import { LIMITS } from '../limits.ts'
import { parseStrictJson } from '../strict-json.ts'
import { type ArchiveImage, usableNames } from './archive-image.ts'
import { bringImage, type MemberImage } from './docker-archive.ts'
import type { ReceivedArchive } from './received-archive.ts'

const repositoriesSchema = z.record(z.string(), z.record(z.string(), z.string()))

/** What we need of a layer's `json`; the top one's other fields are those of the config. */
const layerSchema = z.looseObject({
  parent: z.string().optional(),
  created: z.string().optional(),
  author: z.string().optional(),
  comment: z.string().optional(),
  container_config: z.looseObject({ Cmd: z.array(z.string()).nullish() }).nullish(),
})

type LegacyLayer = z.infer<typeof layerSchema>

/** Fields that say where the image stood, and nothing about what it is. */
const PLACE_FIELDS: ReadonlySet<string> = new Set([
  'id',
  'parent',
  'Size',
  'parent_id',
  'layer_id',
  'throwaway',
])

/** The images that `repositories` names. Throws `oci.bad-archive`, `oci.corrupt-image`. */
export async function legacyImages(archive: ReceivedArchive): Promise<ArchiveImage[]> {
  const what = 'repositories of the archive'
  const bytes = await archive.readAll(archive.require('repositories'), LIMITS.manifestBytes)
  const repositories = checkSchema(repositoriesSchema, parseStrictJson(bytes, what), what)
  const tagged = Object.entries(repositories).flatMap(([repository, tags]) =>
    Object.entries(tags).map(([tag, id]) => ({ name: `${repository}:${tag}`, id })),
  )
  return [...Map.groupBy(tagged, ({ id }) => id)].map(([id, entries]) => ({
    names: usableNames(entries.map(({ name }) => name)),
    bring: async (context) =>
      bringImage(await readImage(id, entries[0]?.name ?? id, archive), archive, context),
  }))
}

async function readImage(top: string, name: string, archive: ReceivedArchive): Promise<MemberImage> {
  const chain: { id: string; layer: LegacyLayer }[] = []
  for (let id: string | undefined = top; id !== undefined && id !== ''; id = chain[0]?.layer.parent) {
    // A chain that leads back to itself is a chain without end.
    if (chain.length === LIMITS.layers) {
      throw new OciError('oci.limit', `Cannot use ${name}: it has more than ${LIMITS.layers} layers`, {
        data: { which: 'layers' },
      })
    }
    const what = `${id}/json of the archive`
    const bytes = await archive.readAll(archive.require(`${id}/json`), LIMITS.configBytes)
    chain.unshift({ id, layer: checkSchema(layerSchema, parseStrictJson(bytes, what), what) })
  }
  const layers = chain.map(({ id }) => `${id}/layer.tar`)
  const config = {
    ...Object.fromEntries(
      Object.entries(chain.at(-1)?.layer ?? {}).filter(([field]) => !PLACE_FIELDS.has(field)),
    ),
    rootfs: { type: 'layers', diff_ids: await Promise.all(layers.map((layer) => diffIdOf(layer, archive))) },
    history: chain.map(({ layer }) => historyOf(layer)),
  }
  return { name, config: Buffer.from(JSON.stringify(config)), layers }
}

function historyOf({ created, author, comment, container_config: container }: LegacyLayer): object {
  return { created, author, created_by: container?.Cmd?.join(' '), comment }
}

async function diffIdOf(name: string, archive: ReceivedArchive): Promise<string> {
  const member = archive.require(name)
  const compression = detectCompression(await archive.readHead(member, COMPRESSION_MAGIC_BYTES), name)
  if (compression === 'none') return member.digest
  throw new OciError(
    'oci.unsupported-media',
    `Cannot import the archive: ${name} is compressed, which archives of its kind never are`,
  )
}
