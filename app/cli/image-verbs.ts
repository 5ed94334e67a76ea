// The verbs for images. Most have two names, as docker's have: `bulkhead pull` is `bulkhead image pull`.
import type { Verb } from './verbs.ts'

const image = (verb: Omit<Verb, 'group'>): Verb => ({ ...verb, group: 'Images' })

const images = image({ name: 'images', summary: 'List images', load: () => import('./commands/images.ts') })
const pull = image({
  name: 'pull',
  summary: 'Fetch an image from a registry',
  load: () => import('./commands/pull.ts'),
})
const importVerb = image({
  name: 'import',
  summary: 'Take in an image from a file, a folder or standard input',
  load: () => import('./commands/import.ts'),
})
const load = image({
  name: 'load',
  summary: 'Take in images from an archive, with docker\'s words for "import"',
  load: () => import('./commands/load.ts'),
})
const save = image({
  name: 'save',
  summary: 'Write images into an archive',
  load: () => import('./commands/save.ts'),
})
const tag = image({
  name: 'tag',
  summary: 'Give an image a further name',
  load: () => import('./commands/tag.ts'),
})
const remove = image({ name: 'rmi', summary: 'Remove images', load: () => import('./commands/rmi.ts') })
const history = image({
  name: 'history',
  summary: 'Show how an image was made',
  load: () => import('./commands/history.ts'),
})

export const imageVerbs: readonly Verb[] = [
  images,
  pull,
  importVerb,
  load,
  save,
  tag,
  remove,
  history,
  image({
    name: 'image inspect',
    summary: 'Print all that is known of images, as JSON',
    load: () => import('./commands/image-inspect.ts'),
  }),
  image({
    name: 'image layers',
    summary: 'Show the layers of an image, and what made each',
    load: () => import('./commands/image-layers.ts'),
  }),
  image({
    name: 'image tags',
    summary: 'List the tags of a repository in its registry',
    load: () => import('./commands/image-tags.ts'),
  }),
  image({
    name: 'image verify',
    summary: 'Check the signatures of an image',
    load: () => import('./commands/image-verify.ts'),
  }),
  image({
    name: 'image prune',
    summary: 'Remove images that nobody needs',
    load: () => import('./commands/image-prune.ts'),
  }),
  image({
    name: 'image check',
    summary: 'Read the whole store again and look for damage',
    load: () => import('./commands/image-check.ts'),
  }),
  image({
    name: 'login',
    summary: 'Keep credentials for a registry',
    load: () => import('./commands/login.ts'),
  }),
  image({
    name: 'logout',
    summary: 'Forget the credentials for a registry',
    load: () => import('./commands/logout.ts'),
  }),
  second('image ls', images),
  second('image pull', pull),
  second('image import', importVerb),
  second('image load', load),
  second('image save', save),
  second('image tag', tag),
  second('image rm', remove),
  second('image history', history),
]

/** Another name of a verb. */
function second(name: string, verb: Verb): Verb {
  return { ...verb, name, isSecondName: true }
}
