// Keeps the lists true: everything is fetched at each new connection and after a gap in the revisions, and every
// event in between is applied in its order.
import { watch } from 'vue'
import type { CoreEvent } from '../../../core/api/methods.ts'
import { api, onEvent } from '../bridge/api.ts'
import { useConnection } from './connection.ts'
import { useGuests } from './guests.ts'
import { useHost } from './host.ts'
import { useImages } from './images.ts'
import { useJobs } from './jobs.ts'
import { useNavigation } from './navigation.ts'
import { useSettings } from './settings.ts'

/** Begins to follow the main process; once, when the page starts. */
export async function followCore(): Promise<void> {
  const connection = useConnection()
  const settings = useSettings()
  const navigation = useNavigation()
  const guests = useGuests()
  const images = useImages()
  const jobs = useJobs()
  const host = useHost()
  let revision: number | undefined

  const refreshAll = () => Promise.all([guests.refresh(), images.refresh(), jobs.refresh(), host.refresh()])

  function apply(event: CoreEvent): void {
    switch (event.type) {
      case 'guest':
        guests.put(event.guest)
        break
      case 'guest-removed':
        guests.remove(event.id)
        break
      case 'image':
        images.put(event.image)
        break
      case 'image-removed':
        images.remove(event.reference)
        break
      case 'job':
        jobs.put(event.job)
        break
      case 'network':
        void host.refresh() // Its checks say what has become of the engine.
        break
    }
  }

  onEvent('core', (notification) => {
    const isGap = revision !== undefined && notification.revision > revision + 1
    revision = notification.revision
    apply(notification.event)
    if (isGap) void refreshAll()
  })
  onEvent('show', navigation.show)
  watch(
    () => connection.session,
    (session) => {
      revision = undefined
      if (session !== 0) void refreshAll()
    },
  )

  const snapshot = await api.snapshot()
  settings.begin(snapshot.settings)
  connection.begin(snapshot)
}
