// Every console that was opened, kept while its guest is there: coming back to a guest shows what was missed.
import { defineStore } from 'pinia'
import { ref, shallowReactive, watch, watchEffect } from 'vue'
import type { TerminalRequest } from '../../preload/api.ts'
import { useConnection } from '../stores/connection.ts'
import { useGuests } from '../stores/guests.ts'
import { useSettings } from '../stores/settings.ts'
import { text } from '../text/en.ts'
import { TerminalSession } from './terminal-session.ts'

interface Kept {
  readonly session: TerminalSession
  /** The connection it was opened over: it breaks with it, and is opened again over the next one. */
  connection: number
  startedAt: string | undefined
}

const keyOf = ({ guest, kind }: TerminalRequest): string => `${kind} ${guest}`

export const useTerminalSessions = defineStore('terminal-sessions', () => {
  const guests = useGuests()
  const settings = useSettings()
  const connection = useConnection()
  const kept = shallowReactive(new Map<string, Kept>())
  /** An address in a guest's output that the person clicked: it is asked about before anything opens. */
  const link = ref<string>()

  function sessionOf(request: TerminalRequest): TerminalSession {
    const known = kept.get(keyOf(request))
    if (known !== undefined) return known.session
    const guest = guests.byKey.get(request.guest)
    const name = guest?.name ?? request.guest
    const session = new TerminalSession({
      request,
      label: request.kind === 'stdio' ? text.terminal.label(name) : text.terminal.bootLabel(name),
      fontSize: settings.current.terminalFontSize,
      onLink: (url) => {
        link.value = url
      },
    })
    kept.set(keyOf(request), { session, connection: connection.session, startedAt: guest?.startedAt })
    return session
  }

  watch(
    () => guests.all,
    () => {
      for (const [key, entry] of kept) {
        const guest = guests.byKey.get(key.slice(key.indexOf(' ') + 1))
        if (guest === undefined) {
          if (guests.state !== 'ready') continue
          kept.delete(key)
          entry.session.dispose()
        } else if (guest.startedAt !== undefined && guest.startedAt !== entry.startedAt) {
          // Started for the first time since it was created: the stream that waits is the right one.
          if (entry.startedAt !== undefined) entry.session.restart()
          entry.startedAt = guest.startedAt
        }
      }
    },
  )
  watchEffect(() => {
    const now = connection.session
    if (now === 0) return
    for (const entry of kept.values()) {
      if (entry.session.state.value.is !== 'failed' || entry.connection === now) continue
      entry.connection = now
      void entry.session.open()
    }
  })
  watch(
    () => settings.current.terminalFontSize,
    (size) => {
      for (const { session } of kept.values()) session.setFontSize(size)
    },
  )

  return { sessionOf, link }
})
