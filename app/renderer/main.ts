// The page's start.
import { createPinia } from 'pinia'
import { createApp } from 'vue'
import AppFrame from './frame/AppFrame.vue'
import './style/tokens.css'
import './style/base.css'

createApp(AppFrame).use(createPinia()).mount('#app')
