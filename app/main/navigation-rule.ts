// Where a page may go: nowhere but the app's own pages; and which addresses may be given to the desktop's browser.

export const appScheme = 'app'
export const appOrigin = 'app://bulkhead'

/** True for the app's own pages. */
export function isAppUrl(url: string): boolean {
  if (!URL.canParse(url)) return false
  const { protocol, host, username, password } = new URL(url)
  return protocol === `${appScheme}:` && host === 'bulkhead' && username === '' && password === ''
}

/** True for what may be opened outside: web pages and mail, written as an absolute address. */
export function isExternalUrl(url: string): boolean {
  if (!URL.canParse(url)) return false
  return ['https:', 'http:', 'mailto:'].includes(new URL(url).protocol)
}
