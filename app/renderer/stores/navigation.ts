// Which page is shown and what is chosen on it.
import { defineStore } from 'pinia'
import { ref } from 'vue'
import type { ShowRequest } from '../../preload/api.ts'

export type PageName = 'guests' | 'images' | 'host' | 'settings'
export type GuestTab = 'console' | 'boot' | 'details'

export const useNavigation = defineStore('navigation', () => {
  const page = ref<PageName>('guests')
  const guest = ref<string>()
  const guestTab = ref<GuestTab>('console')
  const image = ref<string>()
  /** The launch form is open, with this image chosen where there is one. */
  const launch = ref<{ readonly image: string | undefined }>()
  const isPulling = ref(false)
  /** Grows with each wish to import, from the menu. */
  const importWishes = ref(0)

  function showPage(name: PageName): void {
    page.value = name
  }

  function showGuest(id: string): void {
    page.value = 'guests'
    launch.value = undefined
    guest.value = id
  }

  function showLaunch(reference?: string): void {
    page.value = 'guests'
    launch.value = { image: reference }
  }

  function show(request: ShowRequest): void {
    switch (request.page) {
      case 'guest':
        showGuest(request.guest)
        break
      case 'launch':
        showLaunch()
        break
      case 'pull':
        page.value = 'images'
        isPulling.value = true
        break
      case 'import':
        page.value = 'images'
        importWishes.value += 1
        break
      default:
        showPage(request.page)
    }
  }

  return {
    page,
    guest,
    guestTab,
    image,
    launch,
    isPulling,
    importWishes,
    showPage,
    showGuest,
    showLaunch,
    show,
  }
})
